"""Lane geometry, against positions worked out by hand on a small map, and against a plain loop."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.features.lanes import locate
from twm_core.data.roads.lane_lines import Lanelet, boundaries, centre_line, inside_polygon, make_lanes, resample
from twm_core.data.scenario import Lane


def lanelet(name: str, on_left: list[tuple[float, float]], on_right: list[tuple[float, float]], **rest: Any) -> Lanelet:
    return Lanelet(id=name, left_bound=np.array(on_left, dtype=float), right_bound=np.array(on_right, dtype=float), **rest)


EAST = lanelet("1", [(0, 3.5), (50, 3.5)], [(0, 0), (50, 0)], successors=("2", "gone"), right="3", speed_limit=13.5)
NORTH = lanelet("2", [(50, 3.5), (50, 50)], [(50, 0), (53.5, 50)])
BESIDE = lanelet("3", [(0, 0), (100, 0)], [(0, -3.5), (100, -3.5)], left="1")


@pytest.fixture
def lanes() -> tuple[Lane, ...]:
    return make_lanes([EAST, NORTH, BESIDE], (0.0, 0.0))


def test_the_centre_line_runs_in_the_middle_of_its_bounds() -> None:
    centre, width = centre_line(np.array([[0.0, 4.0], [3.0, 4.0], [10.0, 4.0]]), np.array([[0.0, 0.0], [10.0, 0.0]]))
    np.testing.assert_allclose(centre[:, 1], 2.0)
    np.testing.assert_allclose(centre[[0, -1], 0], [0.0, 10.0])
    assert width == pytest.approx(4.0)


def test_resampling_keeps_equal_distances() -> None:
    line = resample(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]]), 5)
    np.testing.assert_allclose(line, [[0, 0], [1, 0], [1, 1], [1, 2], [1, 3]])


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_a_point_is_inside_a_disc_polygon_when_it_is_within_its_radius(x: float, y: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    radius = np.hypot(x, y)
    if abs(radius - 1) > 1e-3:
        assert inside_polygon(np.array([[x, y]]), ring)[0] == (radius < 1)


def test_a_vehicle_finds_its_lane_and_its_place_in_it(lanes: tuple[Lane, ...]) -> None:
    on = locate(np.array([[10.0, 2.0], [10.0, -2.0], [10.0, 9.0]]), np.array([0.1, 0.0, 0.0]), lanes)
    assert on.lane.tolist() == [0, 2, -1]
    np.testing.assert_allclose(on.lane_offset, [0.25, -0.25, 0.0], atol=1e-9)
    np.testing.assert_allclose(on.lane_angle, [0.1, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(on.speed_limit, [13.5, 0.0, 0.0])
    assert on.lane_known.tolist() == [1, 1, 0]
    assert on.lane_left.tolist() == [0, 1, 0]
    assert on.lane_right.tolist() == [1, 0, 0]


def test_turns_and_ends_are_seen_through_the_successor(lanes: tuple[Lane, ...]) -> None:
    # Lanelet 2 leads from (50, 1.75) to (51.75, 50): 48.28 m at 87.92 degrees.
    turn, length = np.arctan2(48.25, 1.75), np.hypot(48.25, 1.75)
    on = locate(np.array([[10.0, 1.75], [35.0, 1.75], [10.0, -1.75]]), np.zeros(3), lanes)
    np.testing.assert_allclose(on.lane_turn_20, [0.0, turn, 0.0], atol=1e-9)
    np.testing.assert_allclose(on.lane_turn_50, [turn, turn, 0.0], atol=1e-9)
    np.testing.assert_allclose(on.lane_end, [40 + length, 15 + length, 90.0], rtol=1e-9)


def test_where_lanes_overlap_the_heading_decides() -> None:
    lanes = make_lanes([lanelet("east", [(0, 4), (4, 4)], [(0, 0), (4, 0)]), lanelet("north", [(0, 0), (0, 4)], [(4, 0), (4, 4)])])
    on = locate(np.full((4, 2), 2.0), np.array([0.1, 1.5, -3.1, -1.5]), lanes)
    assert on.lane.tolist() == [0, 1, 1, 0]
    assert sorted(zip(on.held.row.tolist(), on.held.lane.tolist(), strict=True)) == [(r, i) for r in range(4) for i in range(2)]


def test_a_ring_of_lanes_ends_the_search() -> None:
    ring = [replace(EAST, successors=("2",)), replace(NORTH, successors=("1",))]
    on = locate(np.array([[10.0, 1.75]]), np.zeros(1), make_lanes(ring))
    assert 80 < on.lane_end[0] <= 100


def test_a_lane_of_centre_and_width_alone_holds_who_is_on_it() -> None:
    lane = Lane(id="a", centre=np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 0.0], [20.0, 0.0]]), width=4.0)
    on = locate(np.array([[5.0, 1.9], [5.0, 2.1], [15.0, -1.0]]), np.zeros(3), [lane])
    assert on.lane.tolist() == [0, -1, 0]
    np.testing.assert_allclose(on.lane_offset, [1.9, 0, -1.0])
    np.testing.assert_allclose(on.along, [5, 0, 15])
    np.testing.assert_allclose(boundaries(replace(lane, width=0.0))[0][:, 1], 1.75)


def test_no_lanes_and_no_points_are_no_trouble() -> None:
    assert locate(np.zeros((2, 2)), np.zeros(2), []).lane.tolist() == [-1, -1]
    assert len(locate(np.zeros((0, 2)), np.zeros(0), make_lanes([EAST])).lane) == 0


@given(st.integers(0, 10**6))
def test_the_lane_of_a_point_does_not_depend_on_the_other_points_and_equals_a_plain_search(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lanes = []
    for i in range(12):
        angle, start = rng.uniform(-4, 4), rng.uniform(-80, 80, 2)
        bend = np.cumsum(np.concatenate([[angle], rng.normal(0, 0.05, 10)]))
        centre = start + np.cumsum(5 * np.stack([np.cos(bend), np.sin(bend)], axis=1), axis=0)
        lanes.append(Lane(id=f"{i}", centre=centre, width=float(rng.uniform(3, 9))))
    points, heading = rng.uniform(-100, 100, (25, 2)), rng.uniform(-4, 4, 25)
    on = locate(points, heading, lanes)
    for r in range(25):
        alone = locate(points[r : r + 1], heading[r : r + 1], lanes)
        assert alone.lane[0] == on.lane[r]
        assert alone.lane_offset[0] == on.lane_offset[r]
        best = (np.inf, -1)
        for i, lane in enumerate(lanes):
            left, right = boundaries(lane)
            if not inside_polygon(points[r : r + 1], np.concatenate([left, right[::-1]]))[0]:
                continue
            a, b = lane.centre[:-1], lane.centre[1:]
            t = np.clip(((points[r] - a) * (b - a)).sum(axis=1) / ((b - a) ** 2).sum(axis=1), 0, 1)
            k = int(np.argmin(np.hypot(*(a + t[:, None] * (b - a) - points[r]).T)))
            turned = heading[r] - np.arctan2(*(b - a)[k][::-1])
            best = min(best, (abs((turned + np.pi) % (2 * np.pi) - np.pi), i))
        assert best[1] == on.lane[r]
