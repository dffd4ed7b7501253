"""The dataset: what the states mean, splits, causality, configs and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from twm_core.data.scenario import LEFT as GONE
from twm_core.data.scenario import NOT_ENTERED, OBSERVED, Scenario
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.errors import UsageError
from twm_core.specs import AGENT_TYPES, DatasetSpecs
from twm_highway.config import FEATURES, HighwayConfig
from twm_highway.geometry import build_curve
from twm_highway.model import build
from twm_highway.simulation import STEP
from twm_highway.sites import LANE_TOKENS, ON_RAMP_TOKEN, SITE_NAMES, lengthened, site_named

SMALL: dict[str, Any] = {
    "runs": 1,
    "evaluation_runs": 1,
    "run_seconds": 20.0,
    "warm_up_seconds": 30.0,
    "train_sites": ("bends-2", "on-ramp-3"),
    "test_sites": ("interchange-3",),
}


def make(**fields: Any) -> ScenarioDataset:
    config = HighwayConfig(**{**SMALL, **fields})
    seen, action = config.observations()
    dataset = build(config, DatasetSpecs(obs_spec=seen, action=action))
    assert isinstance(dataset, ScenarioDataset)
    return dataset


@pytest.fixture(scope="module")
def dataset() -> ScenarioDataset:
    return make(actions=True)


@pytest.fixture(scope="module")
def fine() -> Scenario:
    """A scenario recorded at every simulation step."""
    return make(dt=0.1, actions=True).splits["test"][0]


def column(scenario: Scenario, name: str) -> np.ndarray:
    return scenario.state[:, scenario.features.index(name)].astype(np.float64)


def follows(scenario: Scenario) -> np.ndarray:
    """Rows whose predecessor is the step before of the same track."""
    inside = np.ones(len(scenario.state), dtype=bool)
    inside[scenario.offset] = False
    return np.flatnonzero(inside)


def test_positions_are_the_integral_of_velocities(fine: Scenario) -> None:
    rows = follows(fine)
    for place, speed in (("x", "vx"), ("y", "vy")):
        moved = column(fine, place)[rows] - column(fine, place)[rows - 1]
        mean = 0.5 * (column(fine, speed)[rows] + column(fine, speed)[rows - 1])
        assert np.abs(moved - mean * STEP).max() < 0.02


def test_headings_are_the_direction_of_motion(fine: Scenario) -> None:
    vx, vy, heading = (column(fine, n) for n in ("vx", "vy", "heading"))
    moving = np.hypot(vx, vy) > 0.5
    off = np.angle(np.exp(1j * (np.arctan2(vy, vx) - heading)))
    assert np.abs(off[moving]).max() < 1e-4


def test_derivatives_are_backward_differences(fine: Scenario) -> None:
    rows = follows(fine)
    for name, of in (("ax", "vx"), ("ay", "vy"), ("yaw_rate", "heading")):
        step = column(fine, of)[rows] - column(fine, of)[rows - 1]
        if of == "heading":
            step = np.angle(np.exp(1j * step))
        np.testing.assert_allclose(column(fine, name)[rows], step / STEP, atol=2e-4)


def test_lateral_motion_within_the_lane_is_slow(fine: Scenario) -> None:
    speed = np.hypot(column(fine, "vx"), column(fine, "vy"))
    sideways = np.abs(speed * np.sin(column(fine, "lane_angle")))
    keeps = fine.lane != ON_RAMP_TOKEN
    assert 0.5 < sideways[keeps].max() < 1.7
    rows = follows(fine)
    same = rows[(fine.lane[rows] == fine.lane[rows - 1]) & keeps[rows]]
    change = np.abs(column(fine, "lane_offset")[same] - column(fine, "lane_offset")[same - 1]) / STEP
    assert change.max() < 1.7


def test_lane_features_agree_with_the_road_map(fine: Scenario) -> None:
    assert fine.road is not None
    site = site_named(fine.site)
    lanes = {lane.id: lane.centre for lane in fine.road.lanes}
    names = {t: n for n, t in {"on-ramp": 6, "off-ramp": 7, **{f"lane-{i + 1}": i + 1 for i in range(site.lanes)}}.items()}
    xy = np.stack([column(fine, "x"), column(fine, "y")], axis=1)
    rng = np.random.default_rng(0)
    for row in rng.choice(len(xy), 300, replace=False):
        line = lanes[names[int(fine.lane[row])]]
        start, step = line[:-1], np.diff(line, axis=0)
        along = np.clip(((xy[row] - start) * step).sum(1) / (step**2).sum(1), 0, 1)
        foot = start + along[:, None] * step
        nearest = int(np.linalg.norm(xy[row] - foot, axis=1).argmin())
        side = step[nearest, 0] * (xy[row] - start[nearest])[1] - step[nearest, 1] * (xy[row] - start[nearest])[0]
        offset = side / np.linalg.norm(step[nearest])
        assert abs(offset - column(fine, "lane_offset")[row]) < 0.06
        assert abs(offset) < 0.5 * site.lane_width + 0.3
        turn = np.arctan2(step[nearest, 1], step[nearest, 0])
        off = np.angle(np.exp(1j * (column(fine, "heading")[row] - turn - column(fine, "lane_angle")[row])))
        assert abs(off) < 0.02


def test_lane_turns_are_what_the_vehicle_meets_later() -> None:
    scenario = make().splits["train"][0]
    site = site_named("bends-2")
    assert scenario.site == site.name
    curve = build_curve(site)
    s = np.linspace(0.0, site.length - 60.0, 2000)
    heading, x, y = curve.at(s)[1:]
    right = np.flatnonzero((scenario.lane == 1) & (column(scenario, "lane_end") == 100.0))[::50]
    for row in right:
        near = int(np.hypot(x - column(scenario, "x")[row], y - column(scenario, "y")[row]).argmin())
        if 0 < near < len(s) - 1:
            later = curve.at(np.array([s[near] + 50.0]))[1][0]
            assert abs(column(scenario, "lane_turn_50")[row] - (later - heading[near])) < 0.006
    assert len(right) > 10
    assert np.abs(column(scenario, "lane_turn_50")).max() > 0.1


def test_actions_are_what_leads_to_the_next_step(fine: Scenario) -> None:
    assert fine.action is not None
    rows = follows(fine)
    speed = np.hypot(column(fine, "vx"), column(fine, "vy"))
    gained = (speed[rows] - speed[rows - 1]) / STEP
    # The driver's acceleration is along the reference curve: on a bend the vehicle's own differs a little.
    assert np.corrcoef(gained, fine.action[rows - 1, 0])[0, 1] > 0.98
    np.testing.assert_array_equal(fine.action[:, 1:].sum(axis=1), 1.0)
    assert fine.action[:, 2].mean() > 0.5
    assert (fine.action[:, 1:].mean(axis=0) > 0).all()


def test_agents_enter_and_leave(dataset: ScenarioDataset) -> None:
    windows = dataset.windows("train")
    batch = windows.batch(range(len(windows)))
    codes = set(np.unique(batch["agents.code"].numpy()))
    assert {OBSERVED, NOT_ENTERED, GONE} <= codes
    kinds = set(np.unique(batch["agents.type"].numpy()))
    assert {AGENT_TYPES.index("car"), AGENT_TYPES.index("truck")} <= kinds
    assert int(batch["agents.lane"].max()) < LANE_TOKENS
    exists = batch["agents.exists"].numpy()
    assert (np.diff(exists.astype(int), axis=1) != 0).sum(axis=1).max() == 1, "no agent comes back"


def test_batches_hold_exactly_the_keys_of_the_spec(dataset: ScenarioDataset) -> None:
    batch = dataset.windows("val").batch([0, 1])
    assert set(batch) == {*dataset.obs_spec.names, "action"}
    assert dataset.action is not None
    assert batch["action"].shape[-1] == dataset.action.width
    assert batch["agents.state"].shape[-1] == len(FEATURES)
    assert batch["agents.state"].shape[1] == dataset.obs_spec.context + dataset.obs_spec.horizon
    assert "action" not in make(train_sites=("bends-2",)).windows("val").batch([0])


def test_splits_share_neither_site_nor_seed() -> None:
    dataset = make(runs=2)
    ids = {split: {s.id for s in scenarios} for split, scenarios in dataset.splits.items()}
    assert not ids["train"] & ids["val"]
    sites = {split: {s.site for s in scenarios} for split, scenarios in dataset.splits.items()}
    assert not sites["test"] & (sites["train"] | sites["val"])
    states = [s.state.tobytes() for scenarios in dataset.splits.values() for s in scenarios]
    assert len(set(states)) == len(states)
    assert {s.site_token for s in dataset.splits["test"]} == {0}
    assert {s.site_token for s in dataset.splits["train"]} == {1 + SITE_NAMES.index(n) for n in SMALL["train_sites"]}


def test_the_fingerprint_names_seed_and_config(dataset: ScenarioDataset) -> None:
    assert make(actions=True).fingerprint() == dataset.fingerprint()
    assert make(actions=True, seed=1).fingerprint() != dataset.fingerprint()


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_observed_part_does_not_know_the_future(dataset: ScenarioDataset, split: str) -> None:
    """A run that is cut off after the observed steps gives the same observed steps, bit for bit."""
    windows = dataset.windows(split)
    context = dataset.obs_spec.context
    whole = windows.batch([0])
    shorter = make(actions=True, run_seconds=6.0).windows(split).batch([0])
    n = shorter["agents.state"].shape[2]
    assert whole["agents.state"].shape[2] == n
    assert np.array_equal(whole["agents.state"][:, :context].numpy(), shorter["agents.state"][:, :context].numpy())


def test_a_test_window_has_trouble_with_constant_velocity(dataset: ScenarioDataset) -> None:
    batch = dataset.windows("test").batch(range(len(dataset.windows("test"))))
    index = dataset.obs_spec.get("agents.state").index
    state, exists = batch["agents.state"].numpy(), batch["agents.exists"].numpy()
    now = dataset.obs_spec.context - 1
    there = exists[:, now] & exists[:, -1]
    seconds = (state.shape[1] - 1 - now) * dataset.obs_spec.dt
    miss = [
        state[:, -1, :, index(p)] - state[:, now, :, index(p)] - seconds * state[:, now, :, index(v)] for p, v in (("x", "vx"), ("y", "vy"))
    ]
    error = np.hypot(*miss)[there].mean()
    assert 2.0 < error < 30.0


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"dt": 0.25}, "steps of 0.1 s"),
        ({"dt": 0.05}, "steps of 0.1 s"),
        ({"predicted_seconds": 5.1}, "not a whole number of steps"),
        ({"stride_seconds": 0.3}, "not a whole number of steps"),
        ({"run_seconds": 4.0}, "shorter than a window"),
        ({"train_sites": ("nowhere",)}, "no site 'nowhere'"),
        ({"test_sites": ("bends-2",)}, "both a training and a test site"),
        ({"train_sites": ("bends-2", "bends-2")}, "names a site twice"),
    ],
)
def test_impossible_configs_are_refused_with_a_hint(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text) as error:
        HighwayConfig(**{**SMALL, **fields}).observations()
    assert error.value.hint


def test_the_protocol_names_the_window() -> None:
    seen, action = HighwayConfig().observations()
    assert seen.protocol == "highway@1s+5s"
    assert (seen.context, seen.horizon, seen.dt) == (5, 25, 0.2)
    assert action is None


def test_declaring_the_plugin_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, twm_highway.plugin, twm_highway.config;"
        "twm_highway.plugin.twm_components(); twm_highway.config.HighwayConfig().observations();"
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_lengthened_site_begins_as_it_did_and_goes_on_straight() -> None:
    for name in SITE_NAMES:
        site, longer = site_named(name), lengthened(site_named(name), 500.0)
        assert longer.length == pytest.approx(site.length + 500.0)
        s = np.arange(0.0, site.length)
        assert np.allclose(build_curve(longer).at(s)[0], build_curve(site).at(s)[0])
        curvature, heading, _, _ = build_curve(longer).at(np.arange(site.length + 61.0, longer.length))
        assert not curvature.any()
        assert np.ptp(heading) < 1e-9
    assert lengthened(site_named("bends-2"), 0.0) is site_named("bends-2")


def test_vehicles_stay_longer_on_a_lengthened_road() -> None:
    def stay(metres: float) -> float:
        windows = make(predicted_seconds=15.0, straight_metres=metres, warm_up_seconds=60.0).windows("test")
        batch = windows.batch(range(len(windows)))
        there = batch["agents.exists"].transpose(1, 2)[batch["agents.scored"]][:, -1]
        return float(there.float().mean())

    assert stay(0.0) < 0.7
    assert stay(600.0) > 0.8
