"""Readers `argoverse2` and `argoverse2-sensor` against hand-computed rows, quaternion algebra and the real recordings."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from twm_core.data.scenario import OCCLUDED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.argoverse2.example import FORECAST, LOG
from twm_driving.argoverse2.sensor_reader import EGO_CENTRE, EGO_SIZE, STATIC, TYPES, steps_of

pa = pytest.importorskip("pyarrow")
feather = pytest.importorskip("pyarrow.feather")
parquet = pytest.importorskip("pyarrow.parquet")


def changed(path, change):
    """Rewrite a table with columns as `change` leaves them."""
    read, write = (parquet.read_table, parquet.write_table) if path.suffix == ".parquet" else (feather.read_table, feather.write_feather)
    columns = read(path).to_pydict()
    change(columns)
    write(pa.table(columns), path)


def set_at(column, row, value):
    def change(columns):
        columns[column][row] = value

    return change


@pytest.fixture
def scenario(make_reader, tmp_path):
    (home,) = make_reader("argoverse2").example(tmp_path)
    return home / f"scenario_{FORECAST}.parquet"


@pytest.fixture
def log(make_reader, tmp_path):
    (home,) = make_reader("argoverse2-sensor").example(tmp_path)
    assert home.name == LOG
    return home


def track(recording, name):
    i = recording.track.index(name)
    rows = slice(int(recording.offset[i]), int(recording.offset[i] + recording.length[i]))
    return i, {column: values[rows] for column, values in recording.columns.items()}


# Forecasting


def test_the_real_scenario_equals_its_table(make_reader, read_all, recordings):
    folder = recordings("argoverse2") / "motion_forecasting"
    (recording,) = read_all(make_reader("argoverse2"), folder)
    (path,) = folder.glob("*/*.parquet")
    table = parquet.read_table(path).to_pydict()
    assert (recording.steps, recording.dt, recording.site) == (110, 0.1, "austin")
    assert len(recording.track) == len(set(table["track_id"])) == 58
    assert int((recording.code != OCCLUDED).sum()) == len(table["track_id"]) == 2434
    scored = {t for t, s in zip(recording.track, recording.scored, strict=True) if s}
    assert scored == {t for t, c in zip(table["track_id"], table["object_category"], strict=True) if c >= 2}
    assert table["focal_track_id"][0] in scored
    assert recording.track[recording.ego] == "AV"
    for row in range(0, len(table["track_id"]), 97):
        i, columns = track(recording, table["track_id"][row])
        at = table["timestep"][row] - int(recording.first[i])
        assert columns["x"][at] == table["position_x"][row]
        assert columns["vy"][at] == table["velocity_y"][row]
        assert math.remainder(columns["heading"][at] - table["heading"][row], 2 * math.pi) == pytest.approx(0, abs=1e-12)
    assert len(recording.road.lanes) == 71
    assert {line.kind for line in recording.road.lines} == {"edge", "crosswalk"}
    assert "length" not in recording.columns


def test_a_test_split_scenario_ends_with_its_observed_steps(make_reader, read_all, scenario):
    def observed_only(columns):
        keep = [i for i, step in enumerate(columns["timestep"]) if step < 17]
        for name in columns:
            columns[name] = [columns[name][i] for i in keep]

    changed(scenario, observed_only)
    (recording,) = read_all(make_reader("argoverse2"), scenario)
    assert recording.steps == 17


def test_static_things_can_be_left_out(make_reader, read_all, scenario):
    def one_is_static(columns):
        columns["object_type"] = [
            "construction" if t == "4" else k for t, k in zip(columns["track_id"], columns["object_type"], strict=True)
        ]

    changed(scenario, one_is_static)
    (kept,) = read_all(make_reader("argoverse2"), scenario)
    assert AGENT_TYPES[kept.type[kept.track.index("4")]] == "other"
    (recording,) = read_all(make_reader("argoverse2", static=False), scenario)
    assert sorted(recording.track) == ["2", "3", "AV"]
    assert recording.skipped == {"rows of things that never move": 28}


def test_a_scenario_without_a_map_is_read_and_says_so(make_reader, read_all, scenario):
    next(scenario.parent.glob("*.json")).unlink()
    (recording,) = read_all(make_reader("argoverse2", site="here"), scenario.parent)
    assert recording.road is None
    assert recording.site == "here"
    assert recording.skipped == {"maps that are not there": 1}


def test_neighbours_that_lead_the_other_way_are_no_neighbours(make_reader, read_all, scenario):
    path = next(scenario.parent.glob("*.json"))
    archive = json.loads(path.read_text())
    lane = archive["lane_segments"]["13"]
    lane["left_lane_boundary"], lane["right_lane_boundary"] = lane["right_lane_boundary"][::-1], lane["left_lane_boundary"][::-1]
    path.write_text(json.dumps(archive))
    (recording,) = read_all(make_reader("argoverse2"), scenario)
    lanes = {lane.id: lane for lane in recording.road.lanes}
    assert lanes["11"].left is None
    assert lanes["12"].left == "14"


@pytest.mark.parametrize(
    ("column", "row", "value", "what"),
    [
        ("timestep", 7, 30, r"row 8: timestep is 30"),
        ("timestep", 7, -1, r"row 8: timestep is -1"),
        ("timestep", 7, 10**15, r"row 8: timestep is 1000000000000000"),
        ("object_type", 3, "lorry", r"row 4: object_type is lorry"),
        ("object_category", 3, 7, r"row 4: object_category is 7"),
        ("position_x", 3, float("nan"), r"row 4: x is nan"),
        ("velocity_x", 3, float("inf"), r"row 4: vx is inf"),
        ("city", 40, "dearborn", r"row 41: city is dearborn"),
        ("num_timestamps", 40, 9, r"row 41: num_timestamps is 9"),
        ("track_id", 40, None, r"row 41: track_id is empty"),
        ("timestep", 1, 0, r"row 2: track AV, step 0 stands in row 1 already"),
    ],
)
def test_impossible_rows_are_named(column, row, value, what, make_reader, read_all, scenario):
    changed(scenario, set_at(column, row, value))
    with pytest.raises(DataError, match=r"scenario_\S+\.parquet, " + what):
        read_all(make_reader("argoverse2"), scenario)


def test_timestamps_that_are_not_ten_hertz_are_refused(make_reader, read_all, scenario):
    def slower(columns):
        columns["end_timestamp"] = [v + 2.9e9 for v in columns["end_timestamp"]]

    changed(scenario, slower)
    with pytest.raises(DataError, match=r"row 1: 30 steps in 5\.8 s are not 0\.1 s each"):
        read_all(make_reader("argoverse2"), scenario)


def test_missing_and_wrong_columns_are_named(make_reader, read_all, scenario):
    changed(scenario, lambda columns: columns.pop("heading"))
    with pytest.raises(DataError, match="has 0 columns named heading"):
        read_all(make_reader("argoverse2"), scenario)
    changed(scenario, lambda columns: columns.update(heading=["a"] * len(columns["city"])))
    with pytest.raises(DataError, match="column heading holds string, not float"):
        read_all(make_reader("argoverse2"), scenario)


def test_damaged_maps_are_named(make_reader, read_all, scenario):
    path = next(scenario.parent.glob("*.json"))
    good = json.loads(path.read_text())
    for change, what in (
        (lambda a: a.pop("lane_segments"), r"lane_segments is missing, not an object"),
        (lambda a: a["lane_segments"]["12"].pop("left_lane_boundary"), r"lane segment 12: left_lane_boundary is missing, not a list"),
        (lambda a: a["lane_segments"]["12"]["left_lane_boundary"][1].pop("x"), r"lane segment 12, left boundary: point 1 has no number x"),
        (lambda a: a["lane_segments"]["12"].update(successors=[{}]), r"lane segment 12: successors holds a dict, not the number of a lane"),
        (lambda a: a["lane_segments"]["12"].update(id=11), r"lane 11 stands in it twice"),
        (lambda a: a["drivable_areas"].update(x=3), r"drivable area x: area_boundary is missing"),
    ):
        archive = json.loads(json.dumps(good))
        change(archive)
        path.write_text(json.dumps(archive))
        with pytest.raises(DataError, match=rf"{path.name}.*{what}"):
            read_all(make_reader("argoverse2"), scenario)
    path.write_text(json.dumps(good)[:-20])
    with pytest.raises(DataError, match=rf"{path.name}, line 1, column \d+: not JSON"):
        read_all(make_reader("argoverse2"), scenario)


# Sensor logs


def multiply(a, b):
    (w, x, y, z), (s, i, j, k) = a, b
    return (w * s - x * i - y * j - z * k, w * i + x * s + y * k - z * j, w * j - x * k + y * s + z * i, w * k + x * j - y * i + z * s)


def placed(ego, box):
    """World position and heading of a box by quaternion algebra alone: p = q p_box q* + t, and the x axis of the box turned by q q_box."""
    q, r = ([pose[n] for n in ("qw", "qx", "qy", "qz")] for pose in (ego, box))

    def turn(q, v):
        return multiply(multiply(q, (0.0, *v)), (q[0], -q[1], -q[2], -q[3]))[1:]

    at = turn(q, [box[n] for n in ("tx_m", "ty_m", "tz_m")])
    ahead = turn(multiply(q, r), (1.0, 0.0, 0.0))
    return at[0] + ego["tx_m"], at[1] + ego["ty_m"], math.atan2(ahead[1], ahead[0])


def test_the_real_logs_equal_quaternion_algebra(make_reader, read_all, recordings):
    folder = recordings("argoverse2") / "sensor_logs"
    recordings = {r.id: r for r in read_all(make_reader("argoverse2-sensor"), folder)}
    for home in sorted(folder.iterdir()):
        recording = recordings[home.name]
        boxes = feather.read_table(next(home.glob("annotations*.feather"))).to_pylist()
        poses = {p["timestamp_ns"]: p for p in feather.read_table(home / "city_SE3_egovehicle.feather").to_pylist()}
        own = [b for b in boxes if b["category"] == "EGO_VEHICLE"]
        boxes = [b for b in boxes if b["category"] != "EGO_VEHICLE"]
        sweeps = sorted({b["timestamp_ns"] for b in boxes})
        assert recording.steps == len(sweeps)
        assert int((recording.code != OCCLUDED).sum()) == len(boxes) + len(sweeps)
        assert recording.skipped.get("boxes of the recording vehicle, whose pose is read instead", 0) == len(own)
        assert recording.skipped["boxes without any lidar point (kept)"] == sum(b["num_interior_pts"] == 0 for b in boxes)
        for box in boxes[::331]:
            i, columns = track(recording, box["track_uuid"])
            at = sweeps.index(box["timestamp_ns"]) - int(recording.first[i])
            x, y, heading = placed(poses[box["timestamp_ns"]], box)
            assert (columns["x"][at], columns["y"][at]) == pytest.approx((x, y), abs=1e-6)
            assert math.remainder(columns["heading"][at] - heading, 2 * math.pi) == pytest.approx(0, abs=1e-6)
            assert columns["length"][at] == box["length_m"]
        assert all(b["length_m"] == EGO_SIZE[0] for b in own)
    assert sorted(r.site for r in recordings.values()) == ["miami", "pittsburgh"]


def test_parked_vehicles_of_the_real_logs_stand_still_in_the_world(make_reader, read_all, recordings):
    """A frame that is turned the wrong way would make them wander with the recording vehicle, which drives some hundred metres."""
    for recording in read_all(make_reader("argoverse2-sensor"), recordings("argoverse2") / "sensor_logs"):
        _, ego = track(recording, "AV")
        ways = []
        for i, name in enumerate(recording.track):
            if recording.length[i] > 100 and AGENT_TYPES[recording.type[i]] == "car" and name != "AV":
                _, columns = track(recording, name)
                ways.append(np.hypot(np.ptp(columns["x"]), np.ptp(columns["y"])))
        assert np.hypot(np.ptp(ego["x"]), np.ptp(ego["y"])) > 20
        assert np.quantile(ways, 0.2) < 1.0


def test_a_box_placed_by_hand(make_reader, read_all, log):
    """The vehicle stands at (100, 200) and looks to the north; 10 m ahead and 2 m to its left a box looks to its left."""

    def move(columns):
        half = math.sqrt(0.5)
        for name, value in (("qw", half), ("qx", 0.0), ("qy", 0.0), ("qz", half), ("tx_m", 100.0), ("ty_m", 200.0), ("tz_m", 5.0)):
            columns[name] = [value] * len(columns["qw"])

    changed(log / "city_SE3_egovehicle.feather", move)

    def one_box(columns):
        move(columns)
        for name, value in (("tx_m", 10.0), ("ty_m", 2.0), ("tz_m", 1.0)):
            columns[name] = [value] * len(columns["qw"])

    changed(log / "annotations.feather", one_box)
    (recording,) = read_all(make_reader("argoverse2-sensor"), log)
    _, columns = track(recording, "2")
    assert (columns["x"][0], columns["y"][0]) == pytest.approx((98.0, 210.0))
    assert abs(columns["heading"][0]) == pytest.approx(math.pi)
    _, own = track(recording, "AV")
    assert (own["x"][0], own["y"][0], own["heading"][0]) == pytest.approx((100.0, 200.0 + EGO_CENTRE, math.pi / 2))
    assert (own["length"][0], own["width"][0], own["height"][0]) == EGO_SIZE


def test_steps_follow_the_differences_of_timestamps():
    ms = np.array([0, 97, 203, 300, 399, 699, 800], dtype=np.int64)
    assert steps_of(ms * 1_000_000 + 315_966_000_000_000_000).tolist() == [0, 1, 2, 3, 4, 7, 8]
    # A clock that is 2 % slow skips no step, however long the log.
    assert steps_of(np.arange(200, dtype=np.int64) * 102_000_000).tolist() == list(range(200))


def test_boxes_of_few_points_and_static_things_can_be_left_out(make_reader, read_all, log):
    changed(log / "annotations.feather", set_at("category", 0, "BOLLARD"))
    changed(log / "annotations.feather", set_at("track_uuid", 0, "9"))
    (recording,) = read_all(make_reader("argoverse2-sensor", min_points=1, static=False), log)
    assert sorted(recording.track) == ["2", "3", "AV"]
    assert recording.skipped["rows of things that never move"] == 1
    assert recording.skipped["boxes with fewer than 1 lidar points"] == 28


def test_the_official_annotations_are_read_where_there_are_several(make_reader, log):
    (log / "annotations_with_ego.feather").write_bytes(b"")
    (source,) = make_reader("argoverse2-sensor").sources([log])
    assert source.files[0].name == "annotations.feather"
    assert source.name == LOG


@pytest.mark.parametrize(
    ("file", "column", "row", "value", "what"),
    [
        (
            "annotations",
            "timestamp_ns",
            4,
            315_969_000_000_000_777,
            r"annotations\.feather, row 5: city_SE3_egovehicle\.feather has no pose",
        ),
        ("annotations", "qw", 4, 5.0, r"annotations\.feather, row 5: the quaternion has length"),
        ("annotations", "qw", 4, float("nan"), r"annotations\.feather, row 5: the quaternion has length nan"),
        ("annotations", "tx_m", 4, float("inf"), r"annotations\.feather, row 5: the translation is \[inf"),
        ("annotations", "length_m", 4, 1e9, r"annotations\.feather, row 5: length is 1e\+09"),
        ("city_SE3_egovehicle", "ty_m", 0, 1e300, r"city_SE3_egovehicle\.feather, row 1: the translation is"),
    ],
)
def test_impossible_boxes_and_poses_are_named(file, column, row, value, what, make_reader, read_all, log):
    changed(log / f"{file}.feather", set_at(column, row, value))
    with pytest.raises(DataError, match=what):
        read_all(make_reader("argoverse2-sensor"), log)


def test_a_log_without_poses_is_refused(make_reader, read_all, log):
    (log / "city_SE3_egovehicle.feather").unlink()
    with pytest.raises(DataError, match=r"has no city_SE3_egovehicle\.feather"):
        read_all(make_reader("argoverse2-sensor"), log)


def test_a_timestamp_years_away_is_refused_without_making_the_steps(make_reader, read_all, log):
    far = 4_000_000_000_000_000_000
    changed(log / "annotations.feather", set_at("timestamp_ns", 0, far))

    def one_more(columns):
        for name, values in columns.items():
            values.append(far if name == "timestamp_ns" else values[0])

    changed(log / "city_SE3_egovehicle.feather", one_more)
    with pytest.raises(DataError, match=r"annotations\.feather, row 1: lies \S+ s after the first"):
        read_all(make_reader("argoverse2-sensor"), log)


def test_every_type_is_one_of_twm():
    assert set(TYPES.values()) <= set(AGENT_TYPES)
    assert not set(TYPES) & set(STATIC)


def test_rows_that_are_spread_too_far_are_refused(make_reader, read_all, scenario, monkeypatch):
    monkeypatch.setattr("twm_driving.scenes.MOST_CELLS", 100)
    with pytest.raises(DataError, match=r"scenario_\S+: its 103 rows are spread over 105 steps of 4 tracks"):
        read_all(make_reader("argoverse2"), scenario)
