"""Reader `scenarionet`: what converters do to their datasets, the real nuScenes scenes, and damaged scenarios."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from twm_core.data.features.derive import derive
from twm_core.data.scenario import INTERPOLATED, LIGHT_STATES, OBSERVED, OCCLUDED
from twm_core.data.windows.splits import make_splits
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.interpolation import bends, every, interpolated
from twm_driving.roads import split_outline
from twm_driving.scenarionet.example import example_scenario
from twm_driving.scenarionet.map import light_state
from twm_driving.scenarionet.plain_pickle import load
from twm_driving.scenarionet.reader import NUSCENES_CENTRE


def write(tmp_path, change=lambda scenario: None, name="sd_x_1.pkl"):
    scenario = example_scenario()
    change(scenario)
    path = tmp_path / name
    path.write_bytes(pickle.dumps(scenario, 4))
    return path


def like_nuscenes(scenario: dict[str, Any], every_: int = 5) -> None:
    """Keep every fifth step of the tracks with noise, and fill in straight lines, as the converter does; the vehicle is recorded at all."""
    chance = np.random.default_rng(3)
    steps = 31
    scenario["length"] = steps
    scenario["metadata"] |= {"dataset": "nuscenes", "map": "boston-seaport", "ts": np.arange(steps) * 0.1, "sdc_id": "1"}
    scenario["metadata"].pop("tracks_to_predict")
    scenario["dynamic_map_states"] = {}
    for name, track in scenario["tracks"].items():
        key = np.arange(0, steps, every_)
        xy = 1000 + np.cumsum(chance.normal(3, 1, (len(key), 2)), axis=0)
        full = np.stack([np.interp(np.arange(steps), key, xy[:, i]) for i in (0, 1)], axis=1)
        if name == "1":
            full = 1000 + np.cumsum(chance.normal(0.6, 0.1, (steps, 2)), axis=0)
        velocity = np.zeros((steps, 2))
        velocity[:-1] = np.diff(full, axis=0) / 0.1
        valid = np.ones(steps)
        if name == "3":
            valid[21:] = 0
        state = {"position": np.concatenate([full, np.zeros((steps, 1))], axis=1), "velocity": velocity, "valid": valid}
        state |= {"heading": np.full(steps, 0.5), "length": np.full((steps, 1), 4.0), "width": np.full((steps, 1), 2.0)}
        state["height"] = np.full((steps, 1), 1.5)
        if name == "1":
            state |= {"length": np.full((steps, 1), 1.73), "width": np.full((steps, 1), 4.08)}
        track["state"] = state


def rows_of(recording, name):
    i = recording.track.index(name)
    return slice(int(recording.offset[i]), int(recording.offset[i] + recording.length[i]))


def test_steps_between_annotations_are_interpolated_and_no_anchors(make_reader, read_all, tmp_path):
    (recording,) = read_all(make_reader("scenarionet"), write(tmp_path, like_nuscenes))
    assert np.flatnonzero(recording.anchors).tolist() == [0, 5, 10, 15, 20, 25, 30]
    for name, length in (("2", 31), ("3", 21), ("4", 31)):
        expected = np.where(np.arange(length) % 5 == 0, OBSERVED, INTERPOLATED)
        np.testing.assert_array_equal(recording.code[rows_of(recording, name)], expected)
    assert (recording.code[rows_of(recording, "1")] == OBSERVED).all()  # its pose was recorded at every step


def test_forward_differences_of_nuscenes_are_not_used_as_velocities(make_reader, read_all, tmp_path):
    """The velocity in the file at an annotated step is that of the half second to come; the derived one is that of the last step."""
    (recording,) = read_all(make_reader("scenarionet"), write(tmp_path, like_nuscenes))
    scenario = derive(recording)
    rows = rows_of(recording, "2")
    vx = scenario.state[rows, scenario.features.index("vx")]
    x = recording.columns["x"][rows]
    assert recording.columns["vx"][rows][5] == pytest.approx((x[6] - x[5]) / 0.1)
    assert vx[5] == pytest.approx((x[5] - x[4]) / 0.1, abs=1e-3)
    assert vx[5] != pytest.approx(recording.columns["vx"][rows][5], abs=1e-2)


def test_the_vehicle_of_nuscenes_is_put_right(make_reader, read_all, tmp_path):
    (recording,) = read_all(make_reader("scenarionet"), write(tmp_path, like_nuscenes))
    rows = rows_of(recording, "1")
    assert (recording.columns["length"][rows] == 4.08).all()
    assert (recording.columns["width"][rows] == 1.73).all()
    scenario = example_scenario()
    like_nuscenes(scenario)
    at = scenario["tracks"]["1"]["state"]["position"]
    np.testing.assert_allclose(recording.columns["x"][rows], at[:, 0] + NUSCENES_CENTRE * np.cos(0.5))
    np.testing.assert_allclose(recording.columns["y"][rows], at[:, 1] + NUSCENES_CENTRE * np.sin(0.5))


def test_coordinates_from_the_vehicles_first_position_are_a_site_of_their_own(make_reader, read_all, tmp_path):
    def centred(scenario):
        like_nuscenes(scenario)
        first = scenario["tracks"]["1"]["state"]["position"][0].copy()
        for track in scenario["tracks"].values():
            track["state"]["position"] = track["state"]["position"] - first

    assert read_all(make_reader("scenarionet"), write(tmp_path, like_nuscenes))[0].site == "boston-seaport"
    assert read_all(make_reader("scenarionet"), write(tmp_path, centred))[0].site == "boston-seaport/sd_x_1"
    assert read_all(make_reader("scenarionet", site="here"), write(tmp_path, centred))[0].site == "here"


def test_recorded_tracks_are_not_taken_for_interpolated_ones(make_reader, read_all, tmp_path):
    chance = np.random.default_rng(0)

    def noisy(scenario):
        for track in scenario["tracks"].values():
            track["state"]["position"] += chance.normal(0, 0.02, track["state"]["position"].shape)

    for change in (noisy, lambda scenario: None):
        (recording,) = read_all(make_reader("scenarionet"), write(tmp_path, change))
        assert recording.anchors is None
        assert not (recording.code == INTERPOLATED).any()


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("step", [2, 5, 10])
def test_the_interval_is_found_from_the_bends_alone(step, single):
    chance = np.random.default_rng(1)
    steps = 20 * step + 1
    key = np.arange(0, steps, step)
    x, y = (np.stack([np.interp(np.arange(steps), key, np.cumsum(chance.normal(2, 1, len(key)))) for _ in range(6)]) for _ in range(2))
    if single:
        x, y = x.astype(np.float32).astype(float), y.astype(np.float32).astype(float)
    valid = np.ones(x.shape, dtype=bool)
    bent = bends(x, y, valid)
    assert every(bent) == step
    assert interpolated(valid, bent, step).sum() == 6 * (steps - len(key))
    assert every(bends(x + chance.normal(0, 0.01, x.shape), y, valid)) == 1


def test_where_nothing_moves_the_documented_interval_counts():
    still = np.zeros((3, 21))
    bent = bends(still, still, np.ones(still.shape, dtype=bool))
    assert every(bent, 5) == 5
    assert every(bent) == 1
    bent[0, 7] = True  # which contradicts it
    assert every(bent, 5) == 1


def test_real_scenes_are_interpolated_between_two_annotations_a_second(make_reader, read_all, recordings):
    for recording in read_all(make_reader("scenarionet"), recordings("scenarionet")):
        assert np.flatnonzero(recording.anchors).tolist() == list(range(0, recording.steps, 5))
        for i in range(len(recording.track)):
            rows = slice(int(recording.offset[i]), int(recording.offset[i] + recording.length[i]))
            step = int(recording.first[i]) + np.arange(recording.length[i])
            seen = recording.code[rows] != OCCLUDED
            expected = (recording.code[rows] == INTERPOLATED) & seen
            if i == recording.ego:
                assert not expected.any()
                assert (recording.columns["length"][rows] > recording.columns["width"][rows]).all()
            else:
                np.testing.assert_array_equal(expected, (step % 5 != 0) & seen)


def test_real_scenes_equal_what_pythons_unpickler_gives(make_reader, read_all, recordings):
    """These files are known to hold NumPy arrays only, so that Python's own unpickler may read them here."""
    folder = recordings("scenarionet")
    path = min(folder.glob("*.pkl"), key=lambda p: p.stat().st_size)
    (recording,) = read_all(make_reader("scenarionet"), path)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scenario = pickle.loads(path.read_bytes())
    seen = 0
    for name, track in scenario["tracks"].items():
        state = track["state"]
        valid = np.flatnonzero(state["valid"])
        seen += len(valid)
        if name == "ego":
            continue
        rows = rows_of(recording, name)
        np.testing.assert_array_equal(recording.columns["x"][rows][valid - valid[0]], state["position"][valid, 0])
        np.testing.assert_array_equal(recording.columns["length"][rows][valid - valid[0]], state["length"][valid, 0])
    assert seen == int((recording.code != OCCLUDED).sum())
    lanes = [f for f in scenario["map_features"].values() if f["type"].startswith("LANE")]
    assert len(recording.road.lanes) == len(lanes)
    assert sum(lane.left_boundary is not None for lane in recording.road.lanes) == sum("polygon" in f for f in lanes)


def test_moving_vehicles_of_real_scenes_keep_to_their_lanes(make_reader, read_all, recordings):
    for recording in read_all(make_reader("scenarionet"), recordings("scenarionet")):
        scenario = derive(recording)
        speed = np.hypot(*(scenario.state[:, scenario.features.index(n)] for n in ("vx", "vy")))
        car = np.repeat(scenario.type == AGENT_TYPES.index("car"), scenario.length)
        known = scenario.state[:, scenario.features.index("lane_known")] > 0
        moving = car & (speed > 2) & (scenario.code != OCCLUDED)
        if moving.sum() > 50:
            assert known[moving].mean() > 0.8
            offset = scenario.state[moving & known, scenario.features.index("lane_offset")]
            assert np.median(np.abs(offset)) < 0.9


def test_outlines_are_split_into_left_and_right():
    centre = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 5.0]])
    left, right = np.array([[0.0, 2.0], [9.0, 2.0], [19.0, 7.0]]), np.array([[0.0, -2.0], [11.0, -2.0], [21.0, 3.0]])
    ring = np.concatenate([left, right[::-1]])
    for outline in (ring, ring[::-1], np.roll(ring, 2, axis=0), np.concatenate([ring, ring[:1]])):
        found = split_outline(outline, centre)
        np.testing.assert_array_equal(found[0], left)
        np.testing.assert_array_equal(found[1], right)
    backwards = split_outline(ring, centre[::-1])
    np.testing.assert_array_equal(backwards[0], right[::-1])
    assert split_outline(np.array([[0.0, 2], [10, -2], [20, 2], [20, -2], [10, 2], [0, -2]]), centre) is None
    assert split_outline(ring[:3], centre) is None


def test_a_lane_that_turns_back_is_split_too():
    angle = np.linspace(0, np.pi, 20)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    left, right = split_outline(np.concatenate([8 * circle, 12 * circle[::-1]]), 10 * circle)
    np.testing.assert_allclose(left, 8 * circle)
    np.testing.assert_allclose(right, 12 * circle)


@pytest.mark.parametrize(
    ("dataset", "limit", "expected"),
    [
        ("waymo", {"speed_limit_mph": 45.0, "speed_limit_kmh": 72.4}, 20.1168),
        ("nuplan", {"speed_limit_kmh": 50}, 50 / 3.6),
        ("nuscenes", {"speed_limit_kmh": 100}, None),
        ("av2", {"speed_limit_mph": 85.0}, None),
        ("waymo", {"speed_limit_mph": 0.0}, None),
    ],
)
def test_speed_limits_that_a_converter_invents_are_left_out(dataset, limit, expected, make_reader, read_all, tmp_path):
    def change(scenario):
        scenario["metadata"]["dataset"] = dataset
        lane = scenario["map_features"]["11"]
        lane.pop("speed_limit_kmh")
        lane.update(limit)

    (recording,) = read_all(make_reader("scenarionet"), write(tmp_path, change))
    found = next(lane for lane in recording.road.lanes if lane.id == "11").speed_limit
    assert found == (None if expected is None else pytest.approx(expected))


def test_lanes_without_outline_take_their_width_or_the_options(make_reader, read_all, tmp_path):
    def change(scenario):
        for name in ("11", "12"):
            scenario["map_features"][name].pop("polygon")
        scenario["map_features"]["11"]["width"] = np.array([[2.0, 1.0], [0.0, 1.0], [2.0, 2.0]])
        scenario["map_features"]["12"].pop("width")
        scenario["map_features"]["14"].update(left_neighbor=[], right_neighbor=["12"])

    (recording,) = read_all(make_reader("scenarionet", lane_width=3.1), write(tmp_path, change))
    lanes = {lane.id: lane for lane in recording.road.lanes}
    assert lanes["11"].width == pytest.approx(3.5)  # of 3 and 4; the row with an unknown side does not count
    assert lanes["12"].width == 3.1
    assert lanes["11"].left_boundary is None
    assert lanes["14"].right == "12"


def test_kinds_of_vehicles_come_from_the_original_dataset(make_reader, read_all, tmp_path):
    def change(scenario):
        scenario["tracks"]["2"]["metadata"]["type"] = "vehicle.bus.rigid"
        scenario["tracks"]["4"]["metadata"]["type"] = "vehicle.motorcycle"
        scenario["tracks"]["3"]["type"] = "TRAFFIC_CONE"

    (recording,) = read_all(make_reader("scenarionet"), write(tmp_path, change))
    assert [AGENT_TYPES[t] for t in recording.type] == ["car", "bus", "other", "motorcycle"]
    (recording,) = read_all(make_reader("scenarionet", static=False), write(tmp_path, change))
    assert recording.track == ("1", "2", "4")
    assert recording.skipped["tracks of things that never move"] == 1


def test_names_of_light_states():
    words = ["LANE_STATE_ARROW_STOP", "LANE_STATE_CAUTION", "TRAFFIC_LIGHT_GREEN", "flashing_caution", "LANE_STATE_UNKNOWN", "", "go"]
    assert [LIGHT_STATES[light_state(w)] for w in words] == ["red", "yellow", "green", "yellow", "unknown", "unknown", "green"]


def test_indexes_beside_the_scenarios_are_not_read(make_reader, tmp_path):
    path = write(tmp_path)
    for name in ("dataset_summary.pkl", "dataset_mapping.pkl"):
        (tmp_path / name).write_bytes(b"")
    (source,) = make_reader("scenarionet").sources([tmp_path])
    assert source.files == (path,)


def state_of(scenario, name="2"):
    return scenario["tracks"][name]["state"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: s.pop("tracks"), r"tracks is missing, not a dict"),
        (lambda s: s.update(tracks={}), r"holds no track"),
        (lambda s: s.update(length="30"), r"length is 30, not a number of steps"),
        (lambda s: s.update(length=10**9), r"length is 1000000000, not a number of steps from 1 to"),
        (lambda s: s["metadata"].update(coordinate="left-handed"), r"the coordinate system 'left-handed' is not known"),
        (lambda s: s["metadata"].update(ts=np.arange(29.0)), r"ts has the shape \(29, 1\), not \[30, 1\]"),
        (lambda s: s["metadata"].update(ts=np.arange(30) ** 3 * 0.1), r"ts goes from"),
        (lambda s: s["metadata"].update(ts=None, sample_rate=-1.0), r"sample_rate is -1\.0"),
        (lambda s: s["metadata"].update(sdc_id=[1]), r"sdc_id is a list"),
        (lambda s: s["metadata"].update(tracks_to_predict=5), r"tracks_to_predict is a int"),
        (lambda s: state_of(s).pop("position"), r"track 2: position is missing"),
        (
            lambda s: state_of(s).update(position=np.zeros((30, 5))),
            r"track 2: position has the shape \(30, 5\), not \[30, 2\] or \[30, 3\]",
        ),
        (lambda s: state_of(s).update(heading=np.zeros(29)), r"track 2: heading has the shape \(29, 1\)"),
        (lambda s: state_of(s).update(valid=["yes"] * 30), r"track 2: valid is a list of unequal or strange parts"),
        (lambda s: state_of(s)["position"].__setitem__((9, 0), np.nan), r"track 2, step 9: x is nan"),
        (lambda s: state_of(s)["velocity"].__setitem__((9, 1), np.inf), r"track 2, step 9: vy is inf"),
        (lambda s: s["map_features"]["11"].update(polyline=[[0.0], [1.0, 2.0]]), r"map feature 11: polyline is a list of unequal"),
        (lambda s: s["map_features"]["11"].update(polyline=np.full((3, 2), np.inf)), r"map feature 11: a coordinate is not"),
        (lambda s: s["map_features"]["11"].update(polyline=np.array([[0.0, 0], [5e7, 0]])), r"lane 11 is 50000000 m long"),
        (lambda s: s["map_features"].update({11: s["map_features"]["11"]}), r"lane 11 stands in it twice"),
        (lambda s: s["map_features"]["11"].update(exit_lanes=[[1]]), r"map feature 11: exit_lanes is a list"),
        (lambda s: s["dynamic_map_states"]["11"]["state"].update(object_state=["GO"]), r"light 11: object_state has not 30 entries"),
        (lambda s: s["dynamic_map_states"]["11"].update(stop_point="here"), r"light 11: stop_point is"),
        (lambda s: s["dynamic_map_states"]["11"].update(stop_point=[]), r"light 11: stop_point has the shape \(0, 1\), not \[2, 1\]"),
    ],
    ids=range(24),
)
def test_damaged_scenarios_are_refused_with_the_place(change, what, make_reader, read_all, tmp_path):
    with pytest.raises(DataError, match=r"sd_x_1\.pkl.*" + what):
        read_all(make_reader("scenarionet"), write(tmp_path, change))


def test_files_of_one_nuscenes_scene_are_one_group_and_a_vehicle_stands_in_one_split(make_reader, read_all, tmp_path):
    def scene(number):
        def change(scenario):
            scenario["metadata"].update(dataset="nuscenes", scenario_id=f"scene-{number:04}_3", tracks_to_predict=None)

        return change

    for name, number in (("sd_a.pkl", 103), ("sd_b.pkl", 103), ("sd_c.pkl", 916)):
        write(tmp_path, scene(number), name)
    found = read_all(make_reader("scenarionet"), tmp_path)
    assert [r.group for r in found] == ["nuscenes scene-0103", "nuscenes scene-0103", "nuscenes scene-0916"]
    splits = make_splits([derive(r) for r in found], "vehicle", shares=(0.5, 0.0, 0.5))
    owned = {n: {(p.scenario, t) for p in splits.pieces[n] for t in p.tracks or ()} for n in ("train", "test")}
    one, two = found[0].id, found[1].id
    for pieces in owned.values():
        assert {t for s, t in pieces if s == one} == {t for s, t in pieces if s == two} != set()
    with pytest.raises(DataError, match="2 separate site"):
        make_splits([derive(r) for r in found], "site")


def test_one_array_that_a_million_features_share_is_refused(make_reader, read_all, tmp_path, monkeypatch):
    monkeypatch.setattr("twm_driving.scenarionet.map.MOST_POINTS", 1000)
    line = np.arange(400.0).reshape(200, 2)

    def share(scenario):
        for i in range(10):
            scenario["map_features"][f"more{i}"] = {"type": "ROAD_LINE_UNKNOWN", "polyline": line}

    with pytest.raises(DataError, match=r"sd_x_1\.pkl: map feature more\d: the map has more than 1000 points"):
        read_all(make_reader("scenarionet"), write(tmp_path, share))


def test_a_pickle_that_wants_more_than_data_is_refused(make_reader, read_all, tmp_path):
    (tmp_path / "0.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataError, match=r"0\.pkl, byte 0: this pickle asks for os\.system"):
        read_all(make_reader("scenarionet"), tmp_path / "0.pkl")


def test_real_pickles_hold_what_the_machine_can_make(recordings):
    for path in sorted(recordings("scenarionet").glob("*.pkl")):
        assert set(load(path.read_bytes(), path.name)) >= {"tracks", "map_features", "metadata", "length"}


def test_halves_of_characters_in_names_are_escaped(make_reader, read_all, tmp_path):
    """No file that is written later could hold them."""

    def change(scenario):
        scenario["tracks"]["\ud800"] = scenario["tracks"].pop("2")

    (recording,) = read_all(make_reader("scenarionet"), write(tmp_path, change))
    assert "\\ud800" in recording.track
