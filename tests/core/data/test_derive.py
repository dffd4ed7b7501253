"""What is derived from a recording, against rows worked out by hand and against what noise in the future changes: nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from twm_core.data.features.derive import ASSUMED_SIZE, NO_MAP, ORIGIN_GRID, derive
from twm_core.data.recording import UNKNOWN, Recording
from twm_core.data.scenario import INTERPOLATED, OBSERVED, OCCLUDED, Lane, Lights, RoadLine, RoadMap, Scenario
from twm_core.data.schema import LEADER_FEATURES, TRAFFIC_FEATURES
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES

CAR, PEDESTRIAN = AGENT_TYPES.index("car"), AGENT_TYPES.index("pedestrian")


def record(columns: dict[str, Any], length: list[int], first: list[int] | None = None, **rest: Any) -> Recording:
    """Tracks of so many rows; columns hold their rows one after another."""
    rows, tracks = sum(length), len(length)
    given: dict[str, Any] = {
        "id": "r",
        "site": "s",
        "group": "g",
        "dt": 0.5,
        "steps": max((a + b for a, b in zip(first or [0] * tracks, length, strict=True)), default=0),
        "track": tuple(str(i) for i in range(tracks)),
        "type": np.full(tracks, CAR, dtype=np.int64),
        "first": np.asarray(first or [0] * tracks, dtype=np.int64),
        "length": np.asarray(length, dtype=np.int64),
        "columns": {n: np.asarray(v, dtype=np.float64) * np.ones(rows) for n, v in columns.items()},
        "code": np.full(rows, OBSERVED, dtype=np.uint8),
    }
    return Recording(**(given | rest))


def column(scenario: Scenario, name: str) -> list[float]:
    return scenario.state[:, scenario.features.index(name)].tolist()


def straight(name: str, start: tuple[float, float], end: tuple[float, float], **rest: Any) -> Lane:
    return Lane(id=name, centre=np.linspace(start, end, 11), width=4.0, **rest)


def test_velocities_and_accelerations_are_backward_differences() -> None:
    scenario = derive(record({"x": [0, 1, 3, 6], "y": [5, 5, 5, 4]}, [4]))
    assert column(scenario, "vx") == [0, 2, 4, 6]
    assert column(scenario, "vy") == [0, 0, 0, -2]
    # The velocity is first known at the second row, so its difference at the third.
    assert column(scenario, "ax") == [0, 0, 4, 4]
    assert column(scenario, "fresh") == [1, 0, 0, 0]
    np.testing.assert_allclose(column(scenario, "heading"), [0, 0, 0, math.atan2(-2, 6)], rtol=1e-6)
    np.testing.assert_allclose(column(scenario, "yaw_rate"), [0, 0, 0, math.atan2(-2, 6) / 0.5], rtol=1e-6)


def test_across_a_gap_the_time_that_really_passed_counts() -> None:
    code = np.asarray([OBSERVED, OCCLUDED, OCCLUDED, OBSERVED, INTERPOLATED], dtype=np.uint8)
    scenario = derive(record({"x": [0, np.nan, np.nan, 6, 8], "y": 0}, [5], code=code))
    assert column(scenario, "vx") == [0, 0, 0, 4, 4]
    assert column(scenario, "x") == [0, 0, 0, 6, 8]
    assert scenario.code.tolist() == code.tolist()


def test_nothing_is_differenced_from_one_track_to_the_next() -> None:
    scenario = derive(record({"x": [0, 1, 50, 51], "y": 0}, [2, 2]))
    assert column(scenario, "vx") == [0, 2, 0, 2]
    assert column(scenario, "fresh") == [1, 0, 1, 0]


def test_recorded_velocities_stay_and_only_holes_in_them_are_filled() -> None:
    scenario = derive(record({"x": [0, 1, 2], "y": 0, "vx": [9, np.nan, 9], "vy": 0}, [3]))
    assert column(scenario, "vx") == [9, 2, 9]
    assert column(scenario, "ax") == [0, -14, 14]
    assert scenario.provenance["vx"] == "recorded; where not known: backward differences of x"
    assert scenario.provenance["vy"] == "recorded"
    assert scenario.provenance["ax"] == "backward differences of vx"


@pytest.mark.parametrize("words", ["differences by the publisher, not causal", "smoothed, non-causal"])
def test_recorded_motion_that_is_not_causal_is_computed_anew(words: str) -> None:
    columns = {"x": [0, 1, 2], "y": 0, "vx": 77, "vy": 0, "ax": 5, "ay": 5}
    scenario = derive(record(columns, [3], provenance={"vx": words, "ax": words}))
    assert column(scenario, "vx") == [0, 2, 2]
    assert column(scenario, "ax") == [0, 0, 0]
    assert column(scenario, "ay") == [5, 5, 5]
    assert scenario.provenance["vx"] == "backward differences of x (the recorded ones are not causal)"


def test_a_heading_is_kept_while_the_agent_stands_and_how_slow_that_is_depends_on_its_type() -> None:
    # 0.1 m/s to the left, after 2 m/s along x: a pedestrian walks there, a car's detection trembles.
    columns = {"x": [0, 1, 1, 0, 1, 1], "y": [0, 0, 0.05, 0, 0, 0.05]}
    scenario = derive(record(columns, [3, 3], type=np.asarray([CAR, PEDESTRIAN])))
    np.testing.assert_allclose(column(scenario, "heading"), [0, 0, 0, 0, 0, math.pi / 2], rtol=1e-6)
    assert column(scenario, "velocity_direction") == column(scenario, "heading")


def test_a_recorded_heading_is_wrapped_and_the_direction_of_motion_told_apart_from_it() -> None:
    scenario = derive(record({"x": [0, 0, -1], "y": 0, "heading": [2 * math.pi, 2 * math.pi + 0.1, np.nan]}, [3]))
    np.testing.assert_allclose(column(scenario, "heading")[:2], [0, 0.1], atol=1e-6)
    np.testing.assert_allclose(np.abs(column(scenario, "heading")[2]), math.pi, rtol=1e-6)
    np.testing.assert_allclose(np.abs(column(scenario, "velocity_direction")), [0, 0.1, math.pi], atol=1e-6)
    assert scenario.provenance["heading"] == "recorded; where not known: direction of motion, kept while the agent stands"


def test_sizes_are_the_last_known_ones_else_those_of_the_type() -> None:
    scenario = derive(
        record({"x": 0, "y": 0, "length": [np.nan, 5, np.nan, np.nan], "width": 0}, [3, 1], type=np.asarray([CAR, PEDESTRIAN]))
    )
    assumed = ASSUMED_SIZE["car"]
    np.testing.assert_allclose(column(scenario, "length"), [assumed[0], 5, 5, ASSUMED_SIZE["pedestrian"][0]])
    np.testing.assert_allclose(column(scenario, "width")[:3], assumed[1])
    assert scenario.provenance["length"] == "recorded; where not known: assumed from the type"
    assert scenario.provenance["width"] == "assumed from the type"
    assert set(ASSUMED_SIZE) == set(AGENT_TYPES)


def test_without_a_map_the_origin_is_a_multiple_of_a_kilometre_and_recordings_of_a_place_share_it() -> None:
    a = derive(record({"x": [500_500.25, 500_501.25], "y": -4_200_700}, [2]))
    assert a.origin == (500_000.0, -4_200_000.0)
    assert column(a, "x") == [500.25, 501.25]
    assert derive(record({"x": 500_000 + ORIGIN_GRID - 1, "y": -4_200_001}, [1])).origin == a.origin
    assert derive(record({"x": [-3.0, 7.0], "y": [9.0, -5.0]}, [2])).origin == (0.0, 0.0)


def test_with_a_map_the_origin_is_the_map_s_and_everything_moves_along() -> None:
    road = RoadMap((straight("a", (1000.4, 2000), (1100.4, 2000)),), (RoadLine("edge", np.asarray([[1000.0, 2002.0], [1100.0, 2002.0]])),))
    lights = Lights(("a",), np.zeros((1, 2), dtype=np.uint8), np.asarray([[1090.0, 2000.0]]))
    scenario = derive(record({"x": [1010, 1012], "y": 2001}, [2], road=road, lights=lights, anchors=np.asarray([True, False])))
    assert scenario.origin == (1000.0, 2000.0)
    assert scenario.road is not None
    assert scenario.lights is not None
    assert scenario.anchors is not None
    np.testing.assert_allclose(scenario.road.lanes[0].centre[[0, -1]], [[0.4, 0], [100.4, 0]])
    np.testing.assert_allclose(scenario.road.lines[0].points[0], [0, 2])
    np.testing.assert_allclose(scenario.lights.stop, [[90, 0]])
    assert scenario.anchors.tolist() == [True, False]
    assert column(scenario, "lane_offset") == [1, 1]
    assert (scenario.lane_names, scenario.lane.tolist() if scenario.lane is not None else None) == (("a",), [1, 1])


def test_recorded_lanes_come_before_those_of_the_map() -> None:
    road = RoadMap((straight("a", (0, 0), (100, 0)),))
    scenario = derive(record({"x": [1, 2], "y": 0}, [2], road=road, lane=np.asarray([2, 0]), lane_names=("L1", "L2")))
    assert scenario.lane_names == ("L1", "L2")
    assert scenario.lane is not None
    assert scenario.lane.tolist() == [2, 0]
    assert column(scenario, "lane_known") == [1, 1]


def test_recorded_neighbours_come_before_those_that_are_near() -> None:
    # 0 at x = 0, 1 at 10, 2 at 30, all at 2 m/s along x but 2 at 1 m/s and a metre to the left; the files say 0 follows 2.
    columns = {"x": [0, 10, 30], "y": [0, 0, 1], "heading": 0, "vx": [2, 2, 1], "vy": 0, "length": [4, 4, 6], "width": 2}
    said = derive(record(columns, [1, 1, 1], leader=np.asarray([2, -1, UNKNOWN]), follower=np.asarray([UNKNOWN, UNKNOWN, 0])))
    assert column(said, "leader_known") == [1, 0, 0]
    assert column(said, "leader_gap") == [30, 0, 0]
    assert column(said, "leader_offset") == [1, 0, 0]
    assert column(said, "leader_speed") == [-1, 0, 0]
    assert column(said, "follower_known") == [0, 1, 1]
    assert column(said, "follower_gap") == [0, 10, 30]
    assert column(said, "follower_offset") == [0, 0, -1]
    # Front to front 30 + (6 - 4) / 2 m at 2 m/s, more than the cap; between them 30 - (6 + 4) / 2 m, closing at 1 m/s.
    assert column(said, "time_headway") == [10, 10, 10]
    assert column(said, "time_to_collision") == [20, 20, 20]
    near = derive(record(columns, [1, 1, 1]))
    assert column(near, "leader_gap") == [10, 20, 0]
    assert column(near, "time_headway") == [5, 10, 10]
    assert column(near, "time_to_collision") == [20, 15, 20]
    assert near.provenance["leader_gap"] == "by place: within a corridor"
    assert said.provenance["leader_gap"] == "recorded neighbour; where not known, by place: within a corridor"


def test_a_recorded_neighbour_that_is_not_seen_is_looked_for() -> None:
    code = np.asarray([OBSERVED, OBSERVED, OBSERVED, OCCLUDED], dtype=np.uint8)
    columns = {"x": [0, 1, 10, np.nan], "y": 0, "heading": 0}
    scenario = derive(record(columns, [2, 2], code=code, leader=np.asarray([1, 1, -1, -1])))
    assert column(scenario, "leader_known") == [1, 0, 0, 0]


def test_on_lanes_the_leader_is_found_around_the_corner() -> None:
    # East for 50 m, then north: 40 m before the corner, the other 30 m after it; a third stands beside the first in the next lane.
    road = RoadMap(
        (
            straight("east", (0, 0), (50, 0), successors=("north",), right="beside"),
            straight("north", (50, 0), (50, 50)),
            straight("beside", (0, -4), (50, -4), left="east"),
        )
    )
    columns = {
        "x": [10, 50, 12],
        "y": [0, 30, -4],
        "heading": [0, math.pi / 2, 0],
        "vx": [5, 0, 5],
        "vy": [0, 2, 0],
        "length": 4,
        "width": 2,
    }
    scenario = derive(record(columns, [1, 1, 1], road=road))
    assert column(scenario, "leader_known") == [1, 0, 0]
    assert column(scenario, "follower_known") == [0, 1, 0]
    np.testing.assert_allclose(
        [column(scenario, f"leader_{n}")[0] for n in ("gap", "offset", "speed", "drift")], [40, 30, -5, 2], atol=1e-6
    )
    np.testing.assert_allclose(column(scenario, "follower_gap")[1], 30, atol=1e-6)
    np.testing.assert_allclose(column(scenario, "time_headway")[:2], [10, 10])  # 70 m along the lanes at 5 m/s
    # Closing in at 5 - 2 m/s over 70 - 4 m: 22 s, beyond the cap.
    assert column(scenario, "time_to_collision")[0] == 20
    assert scenario.provenance["leader_gap"] == "by place: along the lanes or within a corridor where no lane is known"


def test_features_are_all_that_the_recording_supports_or_those_that_are_named() -> None:
    plain = record({"x": [0, 1], "y": 0}, [2], scored=np.asarray([False]), start=3.0)
    scenario = derive(plain)
    assert "lane_offset" not in scenario.features
    assert set(LEADER_FEATURES) <= set(scenario.features)
    assert set(scenario.provenance) == set(scenario.features)
    assert (scenario.group, scenario.start) == ("g", 3.0)
    assert scenario.eligible is not None
    assert not scenario.eligible.any()
    road = RoadMap((straight("a", (0, 0), (100, 0)),))
    assert derive(replace(plain, road=road)).features == tuple(TRAFFIC_FEATURES)
    named = derive(plain, features=("vx", "x"))
    assert named.features == ("vx", "x")
    np.testing.assert_array_equal(named.state, [[0, 0], [2, 1]])


def test_a_feature_that_cannot_be_given_is_refused() -> None:
    plain = record({"x": [0, 1], "y": 0}, [2])
    with pytest.raises(DataError, match=r"recording r: features lane_offset, lane_left need a road map with lanes, and it has none"):
        derive(plain, features=("x", "lane_offset", "lane_left"))
    with pytest.raises(DataError, match=r"recording r: there is no feature speed"):
        derive(plain, features=("x", "speed"))


def test_a_recording_of_nobody_is_a_scenario_of_nobody() -> None:
    scenario = derive(record({"x": [], "y": []}, [], first=[], steps=4))
    assert scenario.state.shape == (0, len(scenario.features))
    unseen = derive(record({"x": [np.nan], "y": np.nan}, [1], code=np.asarray([OCCLUDED], dtype=np.uint8)))
    assert not unseen.state.any()


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("given", [(), ("vx", "vy"), ("heading",)])
def test_noise_in_the_future_changes_nothing_before_it(mapped: bool, given: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    agents, steps, until = 6, 20, 12
    road = RoadMap(tuple(straight(f"{i}", (-40, 4.0 * i), (40, 4.0 * i), right=f"{i - 1}" if i else None) for i in range(4)))
    columns = {
        "x": rng.normal(0, 15, (agents, steps)),
        "y": rng.uniform(-2, 14, (agents, steps)),
        "length": rng.uniform(3, 5, (agents, steps)),
    }
    columns |= {name: rng.normal(0, 3, (agents, steps)) for name in given}
    code = np.where(rng.random((agents, steps)) < 0.1, OCCLUDED, OBSERVED).astype(np.uint8)
    rest: dict[str, Any] = {"road": road if mapped else None, "code": code.reshape(-1)}

    def made(values: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        scenario = derive(record({n: v.reshape(-1) for n, v in values.items()}, [steps] * agents, **rest))
        return scenario.state.reshape(agents, steps, -1)[:, :until]

    before = made(columns)
    for values in columns.values():
        values[:, until:] = rng.normal(0, 1e4, (agents, steps - until))
    np.testing.assert_array_equal(made(columns), before)


def test_a_recorded_leader_around_the_corner_is_as_far_as_the_lanes_are_long() -> None:
    road = RoadMap((straight("east", (0, 0), (50, 0), successors=("north",)), straight("north", (50, 0), (50, 50))))
    columns = {"x": [45, 50], "y": [0, 10], "heading": [0, math.pi / 2], "vx": [5, 0], "vy": [0, 2], "length": 4, "width": 2}
    for leader in (None, np.asarray([1, -1])):
        scenario = derive(record(columns, [1, 1], road=road, leader=leader))
        assert column(scenario, "leader_known") == [1, 0]
        np.testing.assert_allclose(column(scenario, "time_headway")[0], 15 / 5, rtol=1e-5)
        np.testing.assert_allclose(column(scenario, "time_to_collision")[0], (15 - 4) / (5 - 2), rtol=1e-5)


def test_lane_features_without_a_map_are_zero_where_that_is_allowed() -> None:
    recording = record({"x": [0, 1], "y": 0}, [2])
    scenario = derive(recording, features=("x", "lane_known", "speed_limit"), allow_no_map=True)
    assert scenario.state.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert dict(scenario.provenance) == {"x": "recorded", "lane_known": NO_MAP, "speed_limit": NO_MAP}
    assert derive(replace(recording, road=RoadMap((), (RoadLine("edge", np.ones((2, 2))),))), features=("lane_known",), allow_no_map=True)


def test_the_recording_vehicle_stays_known() -> None:
    assert derive(record({"x": 0, "y": 0}, [1, 1], ego=1)).ego == 1
    assert derive(record({"x": 0, "y": 0}, [1, 1])).ego is None
    with pytest.raises(DataError, match="recording r: its ego is track number 2 of 2"):
        record({"x": 0, "y": 0}, [1, 1], ego=2)


@pytest.mark.parametrize(
    ("state", "stop", "said"),
    [
        (np.zeros((1, 2)), np.zeros(2), r"states \[1, 2\] and stops \[2\] are not those of 1 lights at 2 steps"),
        (np.zeros((2, 1)), np.zeros((1, 2)), r"states \[2, 1\] and stops \[1, 2\]"),
        (np.zeros((1, 2)), np.zeros((0, 2)), r"stops \[0, 2\]"),
        (np.full((1, 2), 9), np.zeros((1, 2)), "a light has the state 9"),
    ],
)
def test_lights_of_other_shapes_are_refused(state: Any, stop: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        record({"x": [0, 1], "y": 0}, [2], lights=Lights(("a",), state.astype(np.uint8), stop))
