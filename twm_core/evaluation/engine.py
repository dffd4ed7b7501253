"""The engine: asks forecasters about windows and keeps what metrics add up, unit by unit.

A forecaster gets the observed steps and nothing else: no target key, no later step. One whose futures are drawn gets a single window at a
time, with a generator seeded from the caller's seed and the number of the window in its split. So neither the size of a batch nor which
other windows are scored changes a number, and all forecasters draw from the same stream (common random numbers), which makes paired
differences sharp. Forecasters with one future run in batches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from twm_core.data.dataset import Batch, Windows, to_device
from twm_core.errors import DataError, PluginError
from twm_core.evaluation.bootstrap import Ints
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Forecaster, Metric
from twm_core.evaluation.left_out import BASELINE, METRIC, LeftOut
from twm_core.evaluation.truth import RoadMaps, TruthDigest, truth_of
from twm_core.evaluation.world_model_forecaster import WorldModelForecaster
from twm_core.nn.batches import slice_time
from twm_core.reporting import Reporter
from twm_core.specs import ObservationSpec

BATCH = 32


@dataclass(frozen=True)
class Candidate:
    """A forecaster that is scored.

    Attributes:
        name: Its name in the result.
        kind: A world model, or a component of kind `baseline`.
        whose: What it is called in messages.
        forecaster: The forecaster, fitted.
        metrics: The metrics that fit what it gives, by name.
    """

    name: str
    kind: Literal["model", "baseline"]
    whose: str
    forecaster: Forecaster
    metrics: Mapping[str, Metric]

    @property
    def conditional(self) -> bool:
        """Whether it is told what will be done, so that it must not be compared with forecasts that do not know it."""
        return isinstance(self.forecaster, WorldModelForecaster) and self.forecaster.model.action is not None


@dataclass(frozen=True)
class Scored:
    """What metrics added up.

    Attributes:
        sums: By entrant and metric, `[U,K]`, a row for each unit.
        vehicle: Number of the vehicle of each scored agent.
        window: Number of each window in its split.
        scenario: Number of the scenario of each window.
        digest: Hash of everything that was scored.
        left_out: Entrants and metrics that failed and that the user did not name; they have no sums.
    """

    sums: dict[str, dict[str, Floats]]
    vehicle: Ints
    window: Ints
    scenario: Ints
    digest: str
    left_out: LeftOut = field(default_factory=LeftOut)


def run(
    candidates: Sequence[Candidate],
    windows: Windows,
    indices: Sequence[int],
    *,
    obs_spec: ObservationSpec,
    samples: int,
    seed: int,
    roads: RoadMaps | None = None,
    device: torch.device | str = "cpu",
    batch: int = BATCH,
    together: bool = False,
    optional: Collection[tuple[str, str]] = (),
    reporter: Reporter | None = None,
) -> Scored:
    """Forecast some windows and add up the metrics.

    Args:
        entrants: Who forecasts.
        windows: The windows of a split.
        indices: Which of them.
        obs_spec: Their spec.
        samples: `S`, futures that are asked for.
        seed: Seed of the futures.
        roads: Road maps of the split.
        device: Where forecasters compute.
        batch: Windows in a batch, for forecasters with one future.
        together: Ask everybody about whole batches, with one generator for all of them. Faster, but then numbers depend on `batch` and on
            which windows are scored: for validation while training.
        optional: Baselines and metrics, (kind, name), that the user did not name: one that fails is left out.
        reporter: Hears about progress.

    Raises:
        DataError: A forecast is not a finite number; leaving it out would flatter the forecaster.
        PluginError: A forecast has another shape than promised.
    """
    failed = LeftOut()
    roads = roads or RoadMaps(None, "")
    stream = torch.Generator(device=device).manual_seed(seed)
    alone = [e for e in candidates if e.forecaster.gives.several and not together]
    beside = [e for e in candidates if together or not e.forecaster.gives.several]
    rows: dict[str, dict[str, list[Floats]]] = {e.name: {m: [] for m in e.metrics} for e in candidates}
    digest = TruthDigest()
    vehicle: list[Ints] = []
    scenario: list[Ints] = []

    def ask(some: Sequence[Candidate], numbers: Sequence[int], truth: Truth, generator: torch.Generator | None) -> None:
        on_device = to_device(truth.batch, device)
        for candidate in some:
            if failed.has(BASELINE, candidate.name):
                continue
            source = generator or torch.Generator(device=device).manual_seed(window_seed(seed, numbers[0]))
            forecast: Forecast | None = None
            with failed.unless_named(BASELINE, candidate.name, candidate.whose, named=(BASELINE, candidate.name) not in optional):
                forecast = _ask(candidate, on_device, obs_spec, samples, source)
                _check(candidate, forecast, truth, samples, obs_spec.horizon)
            if forecast is None or failed.has(BASELINE, candidate.name):
                continue
            for name, metric in candidate.metrics.items():
                with failed.unless_named(METRIC, name, f"metric {name}", named=(METRIC, name) not in optional):
                    if not failed.has(METRIC, name):
                        rows[candidate.name][name].append(metric.sums(forecast, truth))

    for at in range(0, len(indices), batch):
        group = list(indices[at : at + batch])
        whole = windows.batch(group)
        # A truth has one interval; where recordings of several come together, their windows are asked about one by one.
        parts = [(group, whole)] if len(whole["dt"].unique()) == 1 else [([n], windows.batch([n])) for n in group]
        for numbers, part in parts:
            truth = truth_of(part, obs_spec, numbers, roads)
            digest.add(truth)
            vehicle.append(truth.vehicle[truth.scored].cpu().numpy())
            scenario.append(truth.scenario.cpu().numpy())
            if beside:
                ask(beside, numbers, truth, stream)
        for number in group if alone else ():
            ask(alone, [number], truth_of(windows.batch([number]), obs_spec, [number], roads), None)
        if reporter is not None:
            reporter.progress(min(at + batch, len(indices)), len(indices), {})
    if reporter is not None:
        reporter.finish()
    for candidate in (e for e in candidates if not failed.has(BASELINE, e.name)):
        for name, metric in candidate.metrics.items():
            # A metric may fail here as well, and a default one must not end the evaluation later.
            with failed.unless_named(METRIC, name, f"metric {name}", named=(METRIC, name) not in optional):
                if not failed.has(METRIC, name):
                    totals = np.concatenate(rows[candidate.name][name]).sum(axis=0)
                    metric.finish(np.stack([totals, totals]))
                    metric.curves(totals)
    sums = {
        e: {m: np.concatenate(parts) for m, parts in each.items() if not failed.has(METRIC, m)}
        for e, each in rows.items()
        if not failed.has(BASELINE, e)
    }
    return Scored(
        sums=sums,
        vehicle=np.concatenate(vehicle),
        window=np.asarray(list(indices), dtype=np.int64),
        scenario=np.concatenate(scenario),
        digest=digest.hexdigest(),
        left_out=failed,
    )


def window_seed(seed: int, number: int) -> int:
    """Seed of the futures of one window of a split; mixing by large odd factors keeps pairs apart."""
    return (seed * 1_000_003 + number * 7_919 + 3) % 2**63


@torch.no_grad()
def _ask(candidate: Candidate, batch: Batch, obs_spec: ObservationSpec, samples: int, generator: torch.Generator) -> Forecast:
    observed = slice_time(batch, obs_spec, 0, obs_spec.context)
    who = candidate.forecaster
    if isinstance(who, WorldModelForecaster):
        actions = batch["action"][:, obs_spec.context - 1 : -1] if candidate.conditional else None
        found = who.forecast(observed, steps=obs_spec.horizon, samples=samples, generator=generator, actions=actions)
    else:
        found = who.forecast(observed, steps=obs_spec.horizon, samples=samples, generator=generator)
    return _on_cpu(found)


def _on_cpu(forecast: Forecast) -> Forecast:
    """The forecast where metrics compute."""
    place, density = forecast.states.device, forecast.log_density
    if place.type == "cpu":
        return forecast
    moved = {n: None if (v := getattr(forecast, n)) is None else v.cpu() for n in ("weights", "expected", "exists")}

    def asked(positions: Tensor) -> Tensor:
        assert density is not None
        return density(positions.to(place)).cpu()

    return replace(forecast, states=forecast.states.cpu(), log_density=None if density is None else asked, **moved)


def _check(candidate: Candidate, forecast: Forecast, truth: Truth, samples: int, steps: int) -> None:
    size, agents = truth.scored.shape
    names = candidate.forecaster.gives.states
    found = tuple(forecast.states.shape)
    futures = found[1] if len(found) == 5 else 0
    wanted = (size, futures, steps, agents, len(names))
    if found != wanted or not 1 <= futures <= samples:
        raise PluginError(
            f"{candidate.whose}: states of a forecast are {list(found)}; promised are [B,S,H,A,F] ="
            f" {[size, f'1..{samples}', steps, agents, len(names)]} with features {', '.join(names)}",
            "return one state for each window, future, step and agent slot",
        )
    there = truth.past_exists[:, -1] | truth.scored
    bad = ~_finite(forecast.states.permute(0, 3, 1, 2, 4)) & there
    if forecast.expected is not None:
        bad |= ~_finite(forecast.expected.permute(0, 2, 1, 3)) & there
    if forecast.weights is not None:
        bad |= ~forecast.weights.isfinite().all(dim=1) & there
    if forecast.exists is not None:
        bad |= ~forecast.exists.isfinite().all(dim=1).all(dim=1) & there
    if bool(bad.any()):
        remedy = (
            "it has diverged: use an earlier checkpoint, or train with a lower training.lr"
            if candidate.kind == "model"
            else "a forecaster must give a number for every agent that is there"
        )
        raise DataError(f"{candidate.whose}'s forecast of {int(bad.sum())} agents is not a finite number", remedy)


def _finite(values: Tensor) -> Tensor:
    """Whether all numbers of each agent are finite, `[B,A,...]` to `[B,A]`."""
    return values.isfinite().flatten(2).all(dim=-1)
