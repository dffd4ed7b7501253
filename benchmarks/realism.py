"""Realism of long closed-loop rollouts: a model, drivers by rule, and the log itself, on highway or any store.

    python benchmarks/realism.py [--run RUN | --steps 700] [--seconds 20] [--samples 32] [--windows 16] [--set PATH=VALUE ...]
    python benchmarks/realism.py --dataset store --set dataset.path=X.twm --set dataset.dt=0.2      a store, as of `twm data simulate`

Without `--run` a model of the default recipe is trained first, at the training horizon of its dataset, in `--out` (a temporary folder by
default). Then the windows of `--split` are cut for `--seconds` predicted seconds, and each row forecasts the same ones:

    log                  what really happened, as if it were the forecast: the ceiling. No forecaster: it is computed from the truth here
    model                futures of the model: each sampled latent future decoded to its mean
    model-closed-loop    the same model, which observes its own predictions on the map every --every seconds (`twm_realism.closed_loop`)
    model-on-lanes       the same closed loop, in which predicted motion is led along lanes and agents give way to one another
    idm, ...             the baselines that are installed, those that learn fitted on the training windows
    idm-on-lanes         their speeds, led along lanes and giving way in the same way

Columns are scores of the metric `realism` (see its README), then seconds for forecasts and for the metric. The last lines tell how far from
the log each row's realism is, which is the bar: the model nearer than `idm`. In brackets stands the 95 % interval of the bootstrap over
windows; windows of one run overlap or follow one another, so it is rather too narrow.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twm_cli.options.words import parse_setting
from twm_core.checkpoint.load import load_run
from twm_core.data.dataset import Batch, Dataset, Windows
from twm_core.data.scenario import RoadMap
from twm_core.data.schema import MOTION
from twm_core.data.windows.loader import evenly_spaced
from twm_core.errors import TwmError, UsageError
from twm_core.evaluation.engine import window_seed
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Forecaster, Metric
from twm_core.evaluation.truth import RoadMaps, truth_of
from twm_core.nn.batches import slice_time
from twm_core.nn.build import build_dataset
from twm_core.nn.world_model import WorldModel
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import Layer, option_layer, resolve
from twm_core.specs import BaselineSpecs, ForecastSpec, MetricSpecs
from twm_core.training.run import train
from twm_realism.closed_loop import ClosedLoop
from twm_realism.lane_keeping import OnLanes

BASELINES = ("idm", "constant-velocity", "zero-velocity")
COLUMNS = (
    "realism",
    "linear_speed_likelihood",
    "linear_acceleration_likelihood",
    "angular_speed_likelihood",
    "angular_acceleration_likelihood",
    "object_distance_likelihood",
    "time_to_collision_likelihood",
    "collision_likelihood",
    "road_edge_distance_likelihood",
    "offroad_likelihood",
    "weight_counted",
    "collision_rate",
    "offroad_rate",
    "speed_mean",
    "speed_distance",
    "time_gap_mean",
    "time_gap_distance",
    "space_gap_distance",
    "following",
    "minade",
)
RESAMPLES = 2000
_TRUTH = ("x", "y", "heading")


class ByModel(Forecaster):
    """A world model: each sampled latent future, decoded to its mean.

    A decoder's own spread is left out: it is independent from step to step, and a trajectory drawn from it would tremble.
    """

    def __init__(self, model: WorldModel) -> None:
        self.model = model
        self.gives = ForecastSpec(states=model.output.get("agents.state").features, several=True)

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        decoded = self.model.forecast(observed, steps=steps, samples=samples, generator=generator)
        return Forecast(states=decoded["agents.state"].mean)


class WindowRoads(RoadMaps):
    """The road maps of a split, and that of the window at hand."""

    window: RoadMap | None = None

    def of(self, number: int) -> RoadMap | None:
        """The map of a scenario, which becomes that of the window at hand."""
        self.window = super().of(number)
        return self.window

    def of_window(self) -> RoadMap | None:
        """The map of the window at hand."""
        return self.window


def truths(dataset: Dataset, windows: Windows, indices: Sequence[int], roads: WindowRoads) -> Iterator[Truth]:
    """One window after another, with its road map."""
    for index in indices:
        yield truth_of(windows.batch([index]), dataset.obs_spec, [index], roads)


def oracle(truth: Truth) -> Forecast:
    """The log as if it were the forecast. It sees the future, so it is no `Forecaster` and only ever a ceiling."""
    return Forecast(states=truth.states[:, None, :, :, [truth.index(n) for n in _TRUTH]])


def forecasters(
    model: WorldModel, dataset: Dataset, registry: Registry, names: Sequence[str], *, every: float, roads: WindowRoads
) -> dict[str, Forecaster | None]:
    """The rows in order; None stands for the log. A baseline that is not installed or does not fit is told and left out."""
    closed = ClosedLoop(model, every=every, road=roads.of_window)
    led = ClosedLoop(model, every=every, road=roads.of_window, on_lanes=True)
    found: dict[str, Forecaster | None] = {"log": None, "model": ByModel(model), "model-closed-loop": closed, "model-on-lanes": led}
    installed = {r.component.name: r for r in registry.components("baseline")}
    for name in names:
        if name in installed:
            config = installed[name].load_config()()
            lacking = config.accepts(dataset.obs_spec)  # type: ignore[attr-defined]
            if lacking is not None:
                print(f"{name} is left out: {lacking}")
                continue
            built: Forecaster = installed[name].load_build()(config, BaselineSpecs(obs_spec=dataset.obs_spec))
            built.fit(dataset.windows("train"))
            found[name] = built
            if set(MOTION) <= set(built.gives.states) and name == "idm":
                found[f"{name}-on-lanes"] = OnLanes(built, dataset.obs_spec, every=every, road=roads.of_window)
        else:
            print(f"{name} is left out: no installed plugin has a baseline of this name")
    return found


def score(
    forecaster: Forecaster | None,
    dataset: Dataset,
    registry: Registry,
    roads: WindowRoads,
    *,
    split: str,
    indices: Sequence[int],
    samples: int,
    seed: int,
) -> tuple[dict[str, float], np.ndarray[Any, np.dtype[np.float64]]]:
    """Scores of one row with how long its forecasts and the metric took, and its realism in each of `RESAMPLES` draws of windows.

    The draws are the same for every row, so that differences of rows can be judged.
    """
    obs_spec = dataset.obs_spec
    gives = ForecastSpec(states=_TRUTH) if forecaster is None else forecaster.gives
    registered = registry.find("metric", "realism")
    config = registered.load_config()()
    lacking = config.accepts(obs_spec, gives)  # type: ignore[attr-defined]
    if lacking is not None:
        raise UsageError(f"metric realism cannot be computed: {lacking}")
    metric: Metric = registered.load_build()(config, MetricSpecs(obs_spec=obs_spec, forecast=gives, samples=samples))
    rows: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    spent = {"forecast_s": 0.0, "metric_s": 0.0}
    for truth in truths(dataset, dataset.windows(split), indices, roads):
        # A stream for each window, so that its futures do not depend on which others are scored.
        generator = torch.Generator().manual_seed(window_seed(seed, int(truth.window[0])))
        begin = time.perf_counter()
        if forecaster is None:
            forecast = oracle(truth)
        else:
            observed = slice_time(truth.batch, obs_spec, 0, obs_spec.context)
            with torch.no_grad():
                forecast = forecaster.forecast(observed, steps=obs_spec.horizon, samples=samples, generator=generator)
        middle = time.perf_counter()
        rows.append(metric.sums(forecast, truth))
        spent["forecast_s"] += middle - begin
        spent["metric_s"] += time.perf_counter() - middle
    every = np.concatenate(rows)
    drawn = np.random.default_rng(seed).multinomial(len(every), np.full(len(every), 1 / len(every)), size=RESAMPLES).astype(np.float64)
    scores = {k: float(v) for k, v in metric.finish(every.sum(axis=0)).items()}
    return {**scores, **spent}, metric.finish(drawn @ every)["realism"]


def table(rows: dict[str, dict[str, float]]) -> str:
    """One line for each score, one column for each row: there are more scores than forecasters."""
    names = [*COLUMNS, "forecast_s", "metric_s"]
    lines = [f"{'':<34}" + "".join(f"{r:>20}" for r in rows)]
    for name in names:
        lines.append(f"{name:<34}" + "".join(f"{rows[r][name]:>20.3f}" for r in rows))
        if f"{name}_log" in rows["log"]:
            lines.append(f"{'  of the log':<34}{rows['log'][f'{name}_log']:>20.3f}")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Train if asked, score, print, and return what was printed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a trained run; without it a model is trained")
    parser.add_argument("--dataset", default="highway")
    parser.add_argument("--steps", type=int, default=700, help="training steps, without --run")
    parser.add_argument("--seconds", type=float, default=20.0, help="predicted seconds")
    parser.add_argument("--samples", type=int, default=32, help="futures of each window")
    parser.add_argument("--windows", type=int, default=16, help="windows, evenly spaced")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between observations of the closed loop")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--baselines", nargs="*", default=list(BASELINES))
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="any value of the recipe")
    parser.add_argument("--out", type=Path, help="folder for the trained run and realism.json")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    options = dict(parse_setting(word) for word in given.set)
    registry = discover()
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or Path(scratch)
        run = given.run
        if run is None:
            run = out / "run"
            chosen = {"preset": "default", "dataset": {"component": given.dataset}}
            wanted = {"training.steps": given.steps, "training.seed": given.seed, **options}
            plan = assemble(resolve([Layer("benchmark", chosen), *(option_layer(k, v, f"--set {k}") for k, v in wanted.items())]), registry)
            train(plan, registry, run)
        longer = {**{k: v for k, v in options.items() if k.startswith("dataset.")}, "dataset.predicted_seconds": given.seconds}
        plan, model, manifest = load_run(run, registry=registry, overrides=longer)
        dataset = build_dataset(plan)
        windows = dataset.windows(given.split)
        indices = evenly_spaced(windows, given.windows)
        parameters = sum(p.numel() for p in model.parameters())
        print(
            f"{plan.obs_spec.protocol}, {given.split}: {len(indices)} of {len(windows)} windows,"
            f" {plan.obs_spec.horizon} steps of {plan.obs_spec.dt:g} s, {given.samples} futures;"
            f" model of {parameters:,} parameters, step {manifest['step']}"
        )
        rows: dict[str, dict[str, float]] = {}
        drawn: dict[str, np.ndarray[Any, np.dtype[np.float64]]] = {}
        roads = WindowRoads(dataset, given.split)
        every = round(given.every / plan.obs_spec.dt) * plan.obs_spec.dt
        for name, forecaster in forecasters(model, dataset, registry, given.baselines, every=every, roads=roads).items():
            rows[name], drawn[name] = score(
                forecaster, dataset, registry, roads, split=given.split, indices=indices, samples=given.samples, seed=given.seed
            )
        print(table(rows))
        for name, row in rows.items():
            if name != "log":
                low, high = np.nanquantile(drawn["log"] - drawn[name], [0.025, 0.975])
                row["below_log"], row["below_log_low"], row["below_log_high"] = (
                    rows["log"]["realism"] - row["realism"],
                    float(low),
                    float(high),
                )
                print(f"{name} is {row['below_log']:.4f} [{low:.4f}, {high:.4f}] below the log's realism")
        result = {
            "protocol": plan.obs_spec.protocol,
            "split": given.split,
            "windows": len(indices),
            "samples": given.samples,
            "step": manifest["step"],
            "parameters": parameters,
            "rows": rows,
        }
        if given.out is not None:
            given.out.mkdir(parents=True, exist_ok=True)
            (given.out / "realism.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    try:
        main()
    except TwmError as error:
        raise SystemExit(f"error: {error}") from None
