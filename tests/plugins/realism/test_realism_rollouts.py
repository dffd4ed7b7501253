"""Long rollouts: the closed loop, and the benchmark as a user starts it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from twm_core.data.dataset import Batch
from twm_core.data.features.lanes import locate
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.errors import UsageError
from twm_core.evaluation.interfaces import Forecaster
from twm_core.evaluation.selection import choose_baselines
from twm_core.nn.batches import slice_time
from twm_core.nn.build import build_dataset, build_world_model
from twm_core.nn.collision_avoidance import overlap
from twm_core.nn.world_model import WorldModel
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import Layer, option_layer, resolve
from twm_core.specs import BaselineSpecs
from twm_realism.closed_loop import ClosedLoop
from twm_realism.lane_keeping import OnLanes

HIGHWAY: dict[str, Any] = {
    "dataset.runs": 1,
    "dataset.evaluation_runs": 1,
    "dataset.run_seconds": 14.0,
    "dataset.warm_up_seconds": 20.0,
    "dataset.train_sites": ["straight-3"],
    "dataset.test_sites": ["bends-2"],
    "encoder.multiagent.width": 16,
    "encoder.multiagent.heads": 2,
    "dynamics.deter": 16,
    "dynamics.hidden": 8,
    "dynamics.heads": 2,
    "dynamics.groups": 3,
    "dynamics.classes": 4,
}
STEPS = 60  # 12 s: twelve times the second that is observed, more than twice the 5 s of training

Made = tuple[WorldModel, ScenarioDataset, Batch]


@pytest.fixture(scope="module")
def made() -> Made:
    """An untrained model, its dataset, and the observed part of one test window."""
    registry = discover()
    layers = [Layer("test", {"preset": "default"}), *(option_layer(k, v, "test") for k, v in HIGHWAY.items())]
    plan = assemble(resolve(layers), registry)
    dataset = build_dataset(plan)
    assert isinstance(dataset, ScenarioDataset)
    model = build_world_model(plan, seed=0)
    windows = dataset.windows("test")
    model.collect_statistics(windows.batch([0]))
    return model.eval(), dataset, slice_time(windows.batch([1]), dataset.obs_spec, 0, dataset.obs_spec.context)


def roll(
    made: Made, *, every: float = 1.0, steps: int = STEPS, seed: int = 0, change: Callable[[Batch], None] | None = None
) -> torch.Tensor:
    model, dataset, observed = made
    observed = {k: v.clone() for k, v in observed.items()}
    if change is not None:
        change(observed)
    closed = ClosedLoop(model, every=every, road=lambda: dataset.splits["test"][0].road)
    return closed.forecast(observed, steps=steps, samples=2, generator=torch.Generator().manual_seed(seed)).states


def test_rollouts_far_beyond_the_trained_horizon_stay_finite_and_near_the_road(made: Made) -> None:
    future = roll(made)
    here = made[2]["agents.exists"][0, -1]
    assert future.shape[:3] == (1, 2, STEPS)
    assert bool(future[..., here, :].isfinite().all())
    start = made[2]["agents.state"][0, -1, here, :2]
    # Nobody drives faster than 70 m/s for 12 s.
    assert float((future[0, :, -1][:, here, :2] - start).norm(dim=-1).max()) < 12 * 70


def test_the_first_seconds_are_what_the_model_says_at_once(made: Made) -> None:
    model, _, observed = made
    closed = roll(made, steps=5)
    repeated = {k: v.expand(2, *v.shape[1:]) for k, v in observed.items()}
    once = model.forecast(repeated, context=model.obs_spec.context, steps=5, samples=1, generator=torch.Generator().manual_seed(0))
    names = model.output.get("agents.state").features
    xy = [names.index("x"), names.index("y")]
    assert torch.equal(closed[0, ..., :2], once["agents.state"].mean[:, 0][..., xy])


def test_it_looks_at_the_road_again(made: Made) -> None:
    model, dataset, observed = made
    seen_lanes: list[torch.Tensor] = []
    original = model.forecast

    class Spy:
        def __getattr__(self, name: str) -> Any:
            return getattr(model, name)

        def forecast(self, batch: Batch, **how: Any) -> Any:
            seen_lanes.append(batch["agents.state"][0, :, :, model.obs_spec.get("agents.state").index("lane_offset")])
            return original(batch, **how)

    road = dataset.splits["test"][0].road
    closed = ClosedLoop(Spy(), every=1.0, road=lambda: road)  # type: ignore[arg-type]
    closed.forecast(observed, steps=10, samples=1, generator=torch.Generator().manual_seed(0))
    assert len(seen_lanes) == 2
    here = observed["agents.exists"][0, -1]
    assert not torch.allclose(seen_lanes[0][:, here], seen_lanes[1][:, here])
    assert bool((seen_lanes[1][:, here] != 0).any())


def test_the_same_seed_gives_the_same_futures_and_another_one_others(made: Made) -> None:
    assert torch.equal(roll(made, steps=10), roll(made, steps=10))
    assert not torch.equal(roll(made, steps=10), roll(made, steps=10, seed=1))


def test_what_stands_where_nobody_is_changes_nothing(made: Made) -> None:
    def disturb(observed: Batch) -> None:
        observed["agents.state"][~observed["agents.exists"]] = 1e3

    here = made[2]["agents.exists"][0, -1]
    assert torch.equal(roll(made, steps=10)[..., here, :], roll(made, steps=10, change=disturb)[..., here, :])


def test_seconds_that_are_no_steps_are_refused(made: Made) -> None:
    with pytest.raises(UsageError, match=r"0.3 s is not a whole number of steps of 0.2 s"):
        ClosedLoop(made[0], every=0.3, road=lambda: None)


def test_on_lanes_it_stays_on_the_road_and_nobody_runs_into_anybody(made: Made) -> None:
    model, dataset, observed = made
    road = dataset.splits["test"][0].road
    assert road is not None
    names = [f.name for f in dataset.obs_spec.get("agents.state").features]
    here = observed["agents.exists"][0, -1]
    size = observed["agents.state"][0, -1, here][:, [names.index("length"), names.index("width")]]

    def offset_and_hits(on_lanes: bool) -> tuple[float, float]:
        closed = ClosedLoop(model, every=1.0, road=lambda: road, on_lanes=on_lanes)
        future = closed.forecast(observed, steps=STEPS, samples=1, generator=torch.Generator().manual_seed(0)).states[0, 0][:, here]
        place = locate(future[..., :2].flatten(0, 1).double().numpy(), future[..., 2].flatten().double().numpy(), road.lanes)
        known = place.lane_known > 0
        one, other = torch.triu_indices(int(here.sum()), int(here.sum()), offset=1)
        hits = sum(int(overlap(f[one, :3], size[one] / 2, f[other, :3], size[other] / 2).sum()) for f in future)
        return float(np.abs(place.lane_offset[known]).mean()), hits

    (led, led_hits), (free, _) = offset_and_hits(True), offset_and_hits(False)
    assert led < 0.5 * free
    assert led_hits == 0


def test_forecasts_of_others_are_led_too(made: Made) -> None:
    _, dataset, observed = made
    road = dataset.splits["test"][0].road
    assert road is not None
    chosen = choose_baselines(discover(), dataset.obs_spec, ["constant-velocity"], {})[0]["constant-velocity"]
    steady = chosen.build(BaselineSpecs(obs_spec=dataset.obs_spec))
    led = OnLanes(steady, dataset.obs_spec, every=1.0, road=lambda: road)
    here = observed["agents.exists"][0, -1]

    def forecast(who: Forecaster) -> torch.Tensor:
        return who.forecast(observed, steps=30, samples=1, generator=torch.Generator()).states[0, 0][:, here]

    def beside(states: torch.Tensor) -> np.ndarray:
        place = locate(states[:, :2].double().numpy(), states[:, 2].double().numpy(), road.lanes)
        return np.where(place.lane_known > 0, np.abs(place.lane_offset), 10.0)

    straight, along = forecast(steady), forecast(led)
    assert along.shape == straight.shape
    assert beside(along[-1]).mean() < 0.5 * beside(straight[-1]).mean()


@pytest.fixture
def benchmark() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "realism.py"
    spec = importlib.util.spec_from_file_location("realism_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_one_command_trains_and_prints_the_table_with_the_log_on_top(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--steps", "2", "--seconds", "8", "--windows", "2", "--samples", "3", "--out", str(tmp_path)]
    words += ["--baselines", "constant-velocity", "zero-velocity", "nobody"]
    for key, value in {**HIGHWAY, "training.batch": 2}.items():
        text = json.dumps(value) if isinstance(value, list) else str(value)
        words += ["--set", f"{key}={text}"]
    found = benchmark.main(words)
    printed = capsys.readouterr().out
    assert list(found["rows"]) == ["log", "model", "model-closed-loop", "model-on-lanes", "constant-velocity", "zero-velocity"]
    assert "nobody is left out: no installed plugin has a baseline of this name" in printed
    log = found["rows"]["log"]
    assert log["minade"] == 0.0
    assert log["speed_distance"] == 0.0
    assert all(row["realism"] < log["realism"] for name, row in found["rows"].items() if name != "log")
    assert found["rows"]["zero-velocity"]["speed_mean"] == pytest.approx(0.0, abs=1e-3)
    assert json.loads((tmp_path / "realism.json").read_text())["windows"] == 2
