"""The dataset `commonroad`: features, tokens, splits without leaks, errors; on small files and, where present, on the NGSIM files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from cpu import Yardstick

from twm_core.data.dataset import SPLITS
from twm_core.data.roads.raster import Pose, to_pixels
from twm_core.data.schema import RASTER_CHANNELS
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.data.windows.scenario_windows import ScenarioWindows
from twm_core.errors import DataError, UsageError
from twm_core.specs import DatasetSpecs
from twm_datasets import commonroad as module
from twm_datasets.commonroad_xml import read_file
from twm_datasets.config import COMMONROAD_FEATURES, CommonRoadConfig

TIMES = 4
"""How many times as much CPU as the parsing of its files the dataset may take; the first measurement was 1.2."""

OBSERVED_KEYS = ("agents.state", "agents.exists", "agents.lane", "agents.code")


def dataset(path: Path | str, **fields) -> ScenarioDataset:
    config = CommonRoadConfig(path=str(path), **fields)
    seen, action = config.observations()
    return module.build(config, DatasetSpecs(obs_spec=seen, action=action))


@pytest.fixture
def folder(tmp_path, commonroad, drive):
    """Nine files of one road at different times; each shares one vehicle with the next."""
    for i in range(9):
        cars = {str(10 * i + k): drive(60, y=(1.75, -1.75)[k % 2], speed=4 + k + i, gain=0.2 + 0.1 * k) for k in range(4)}
        cars[str(10 * i + 10)] = drive(60, x=20, speed=3 + i, gain=0.15)
        (tmp_path / f"USA_US101-{i}_1_T-1.xml").write_text(commonroad(cars, benchmark=f"USA_US101-{i}_1_T-1"))
    return tmp_path


def column(scenario, name):
    return scenario.state[:, COMMONROAD_FEATURES.index(name)]


def test_motion_is_differenced_backwards_and_fresh_at_the_first_step(tmp_path, commonroad, drive):
    states = [(0, 5.0, 1.0, 3.1, 2.0), (1, 4.8, 1.0, -3.1, 3.0), (2, 4.5, 1.0, -3.1, 3.0)]
    path = tmp_path / "a.xml"
    path.write_text(commonroad({"1": states, "2": drive(4)}))
    scenario = module.to_scenario(read_file(path), lanes=64, sites=8)
    vx = np.array([2 * np.cos(3.1), 3 * np.cos(-3.1), 3 * np.cos(-3.1)])
    np.testing.assert_allclose(column(scenario, "vx")[:3], vx, rtol=1e-5)
    np.testing.assert_allclose(column(scenario, "ax")[:3], [0, (vx[1] - vx[0]) / 0.1, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(column(scenario, "yaw_rate")[:3], [0, (2 * np.pi - 6.2) / 0.1, 0], rtol=1e-4)
    np.testing.assert_array_equal(column(scenario, "fresh"), [1, 0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(column(scenario, "length"), np.float32(4.5))
    # The origin is the first point of the first left bound, rounded to whole metres: (0, 3.5) becomes (0, 4).
    np.testing.assert_allclose(column(scenario, "y")[:3], 1.0 - 4.0)


def test_tokens_mean_the_same_whatever_else_is_in_the_folder(folder):
    whole = {s.id: s for scenarios in dataset(folder).splits.values() for s in scenarios}
    name = "USA_US101-3_1_T-1"
    alone = dataset(folder / f"{name}.xml").splits["train"][0]
    np.testing.assert_array_equal(alone.lane, whole[name].lane)
    assert alone.site_token == whole[name].site_token
    assert {s.site_token for s in whole.values()} == {alone.site_token}
    assert 0 < alone.site_token < 64
    assert alone.lane.min() >= 0
    assert alone.lane.max() < 4096


def test_lanes_of_a_road_count_from_the_left_and_lanes_of_a_junction_have_their_numbers(tmp_path, commonroad, drive):
    path = tmp_path / "a.xml"
    path.write_text(commonroad({"1": drive(2)}))
    lanes = module.to_scenario(read_file(path), lanes=64, sites=8).road.lanes
    assert module.lane_names("US101", lanes) == ["US101:1", "US101:1", "US101:2"]
    assert module.lane_names("Lanker-2", lanes) == ["Lanker-2:1", "Lanker-2:2", "Lanker-2:3"]


@pytest.mark.parametrize(
    ("benchmark", "site"),
    [("USA_US101-3_1_T-1", "US101"), ("USA_Lanker-2_16_T-1", "Lanker-2"), ("C-DEU_B471-1_1_T-1", "B471-1"), ("anything", "anything")],
)
def test_the_site_is_the_place_of_the_benchmark(benchmark, site):
    assert module.site_of(benchmark) == site


def assert_no_vehicle_in_two_splits(data: ScenarioDataset) -> None:
    """Scored vehicles of the splits are disjoint, and train shows none of those that val or test score."""
    scored: dict[str, set] = {s: set() for s in SPLITS}
    shown: dict[str, set] = {s: set() for s in SPLITS}
    for split in SPLITS:
        for scenario in data.splits[split]:
            vehicles = [(scenario.site.split("-")[0], t) for t in scenario.track]
            shown[split].update(vehicles)
            scored[split].update(v for v, e in zip(vehicles, scenario.eligible, strict=True) if e)
        assert scored[split], split
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        assert not scored[a] & scored[b]
    assert not shown["train"] & (scored["val"] | scored["test"])
    assert shown["train"] == scored["train"]


def test_no_vehicle_is_scored_in_two_splits(folder):
    data = dataset(folder)
    assert_no_vehicle_in_two_splits(data)
    for split in SPLITS:
        windows = data.windows(split)
        batch = windows.batch(range(len(windows)))
        assert int(batch["agents.scored"].sum()) == windows.report()["agents"]
    assert data.windows("test").report()["vehicles of other splits shown as context"] > 0


def noisy_future(scenario, step: int, generator: np.random.Generator):
    """The scenario with every state from `step` on replaced by noise."""
    tracks = np.repeat(np.arange(len(scenario.first)), scenario.length)
    at = scenario.first[tracks] + np.arange(len(scenario.state)) - scenario.offset[tracks]
    state, lane = scenario.state.copy(), scenario.lane.copy()
    state[at >= step] = generator.normal(size=state[at >= step].shape)
    lane[at >= step] = generator.integers(0, 9, size=int((at >= step).sum()))
    return replace(scenario, state=state, lane=lane)


def noisy_raw(raw, step: int, generator: np.random.Generator):
    """The file with every position, orientation and speed from `step` on replaced by noise."""
    tracks = []
    for track in raw.tracks:
        rows = track.rows.copy()
        later = track.first + np.arange(len(rows)) >= step
        rows[later] += generator.normal(size=rows[later].shape)
        tracks.append(replace(track, rows=rows))
    return replace(raw, tracks=tuple(tracks))


def assert_same_inputs(a: ScenarioWindows, b: ScenarioWindows, number: int, context: int) -> None:
    one, two = a.batch([number]), b.batch([number])
    for key in OBSERVED_KEYS:
        assert (one[key][:, :context] == two[key][:, :context]).all(), key
    for key in ("agents.type", "site", "dt", "is_first"):
        assert (one[key] == two[key]).all(), key


def assert_the_future_stays_out(raw, protocol, numbers) -> None:
    generator = np.random.default_rng(0)
    scenario = module.to_scenario(raw, lanes=64, sites=8)
    plain = ScenarioWindows([scenario], protocol, "test")
    for number in numbers:
        step = int(plain.index[number, 1]) + protocol.context
        for noisy in (noisy_future(scenario, step, generator), module.to_scenario(noisy_raw(raw, step, generator), lanes=64, sites=8)):
            assert_same_inputs(plain, ScenarioWindows([noisy], protocol, "test"), number, protocol.context)


@pytest.mark.parametrize("max_agents", [64, 3])
def test_noise_in_the_future_changes_no_input(folder, max_agents):
    data = dataset(folder, max_agents=max_agents)
    raw = read_file(sorted(folder.iterdir())[0])
    assert_the_future_stays_out(raw, data.protocol, range(2))


def test_dropping_agents_is_counted(folder):
    report = dataset(folder, max_agents=3).windows("train").report()
    assert report["agents outside crops of train_agents"] == 2 * report["windows"]


ERRORS = {
    "no path": ("", r"no path was given"),
    "not there": ("nowhere", r"nowhere is not there"),
    "empty": ("empty", r"holds no \.xml file"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_path_is_refused(case, tmp_path):
    name, message = ERRORS[case]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message) as caught:
        dataset(tmp_path / name if name else "")
    assert caught.value.hint


def test_another_time_step_is_refused(tmp_path, commonroad, drive):
    (tmp_path / "slow.xml").write_text(commonroad({"1": drive(5)}, dt=0.2))
    with pytest.raises(DataError, match=r"slow\.xml: timeStepSize is 0\.2 s, the dataset's dt is 0\.1 s"):
        dataset(tmp_path)


def test_a_single_file_has_no_test_windows(folder):
    data = dataset(folder / "USA_US101-0_1_T-1.xml")
    assert len(data.windows("train")) == 11  # every 0.2 s
    with pytest.raises(DataError, match=r"split 'test' has no window"):
        data.windows("test")


def test_seconds_that_are_no_whole_steps_are_refused():
    with pytest.raises(UsageError, match="eval_stride_seconds"):
        CommonRoadConfig(eval_stride_seconds=0.25).observations()


def test_equal_folders_have_equal_fingerprints(folder):
    assert dataset(folder).fingerprint() == dataset(folder).fingerprint()
    assert dataset(folder).fingerprint() != dataset(folder, eval_stride_seconds=0.5).fingerprint()


def test_eligible_tracks_change_nothing_but_the_score(folder):
    data = dataset(folder)
    scenario = data.splits["train"][0]
    everyone, half = (ScenarioWindows([replace(scenario, eligible=e)], data.protocol, "test").batch([0]) for e in (None, np.arange(5) < 2))
    for key, value in everyone.items():
        if key != "agents.scored":
            assert (value == half[key]).all(), key
    assert everyone["agents.scored"].sum() == 5
    assert half["agents.scored"].tolist() == [[True, True, False, False, False]]


@pytest.fixture(scope="module")
def ngsim(recordings):
    return dataset(recordings("commonroad_ngsim"))


def test_the_ngsim_files_load_quickly_and_completely(recordings, ngsim):
    files = sorted(recordings("commonroad_ngsim").rglob("*.xml"))
    parsing = Yardstick(lambda: [ElementTree.parse(file) for file in files], times=1)
    assert parsing.ratio(lambda: dataset(recordings("commonroad_ngsim")), enough=TIMES) <= TIMES
    data = ngsim
    scenarios = [s for split in SPLITS for s in data.splits[split]]
    # Counted in the files: 20 files, 625 obstacles, 625 initial states + 38,561 states of trajectories.
    assert (len(scenarios), sum(len(s.track) for s in scenarios), sum(len(s.state) for s in scenarios)) == (20, 625, 625 + 38561)
    assert np.mean(np.concatenate([column(s, "lane_known") for s in scenarios])) > 0.99
    assert data.windows("train").report()["sites that share a token"] == 0


def test_the_ngsim_splits_share_no_vehicle_and_every_site_is_trained_on(ngsim):
    assert_no_vehicle_in_two_splits(ngsim)
    sites = {split: {s.site for s in ngsim.splits[split]} for split in SPLITS}
    assert sites["train"] == {"US101", "Lanker-2", "Peach-2", "Peach-4"}
    assert sites["test"] == sites["val"] == {"US101", "Lanker-2", "Peach-4"}
    for split in ("val", "test"):
        assert ngsim.windows(split).report()["agents dropped over max_agents"] == 0


def test_ngsim_inputs_know_no_future(recordings, ngsim):
    raw = read_file(recordings("commonroad_ngsim") / "USA_Peach-4_8_T-1.xml")
    assert_the_future_stays_out(raw, ngsim.protocol, [0, 1, 2])


def test_a_map_raster_shows_the_lanes_under_the_vehicles(folder):
    data = dataset(folder, raster=True, raster_size=32, metres_per_pixel=1.0)
    batch = data.windows("train").batch([0, 1])
    assert batch["map.raster"].shape == (2, len(RASTER_CHANNELS), 32, 32)
    pose = batch["map.pose"][0]
    state, there = batch["agents.state"][0, 0], batch["agents.exists"][0, 0]
    x, y = (state[there][:, COMMONROAD_FEATURES.index(n)].double().numpy() for n in ("x", "y"))
    pixel = np.floor(to_pixels(np.stack([x, y], axis=-1), Pose(*pose.tolist()), (32, 32))).astype(int)
    inside = ((pixel >= 0) & (pixel < 32)).all(-1)
    assert inside.any()
    area = batch["map.raster"][0, RASTER_CHANNELS.index("drivable")].numpy()
    assert (area[pixel[inside][:, 1], pixel[inside][:, 0]] > 200).all()
