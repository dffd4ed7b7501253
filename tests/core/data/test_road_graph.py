"""The graph of lanes against small networks worked out by hand, and leaders along lanes against a plain search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from twm_core.data.features.lanes import locate
from twm_core.data.features.leaders import REACH, SAME_DIRECTION
from twm_core.data.features.road_graph import CLOSE, Reached, RoadGraph, along_lanes
from twm_core.data.scenario import Lane


def straight(name: str, start: tuple[float, float], end: tuple[float, float], *successors: str, **rest: Any) -> Lane:
    return Lane(id=name, centre=np.linspace(start, end, 6), width=4.0, successors=successors, **rest)


FORK = (
    straight("stem", (0, 0), (40, 0), "left", "right"),
    straight("left", (40, 0), (70, 30)),
    straight("right", (40, 0), (100, -5), "end", "nowhere"),
    straight("end", (100, -5), (200, -5)),
    straight("beside", (0, -4), (40, -4), left="stem", right="unknown"),
)


def test_a_lane_knows_what_is_before_after_and_beside_it() -> None:
    graph = RoadGraph(FORK)
    assert graph.successors == [(1, 2), (), (3,), (), ()]
    assert graph.predecessors == [(), (0,), (0,), (2,), ()]
    assert graph.left.tolist() == [-1, -1, -1, -1, 0]
    assert graph.right.tolist() == [-1] * 5
    np.testing.assert_allclose(graph.length, [40, math.hypot(30, 30), math.hypot(60, 5), 100, 40])


def test_distances_run_along_the_lanes() -> None:
    graph = RoadGraph(FORK)
    to_end = 40 + math.hypot(60, 5)
    assert [r.lane for r in graph.ahead(0)] == [0, 1, 2, 3]
    np.testing.assert_allclose([r.distance for r in graph.ahead(0)], [0, 40, 40, to_end])
    assert graph.ahead(0, reach=10) == [Reached(0, 0.0), Reached(1, 40.0), Reached(2, 40.0)]
    assert [r.lane for r in graph.behind(3)] == [3, 2, 0]
    np.testing.assert_allclose([r.distance for r in graph.behind(3)], [0, to_end - 40, to_end])
    assert graph.distance(0, 30.0, 3, 5.0) == pytest.approx(to_end - 25)
    assert graph.distance(0, 10.0, 0, 25.0) == 15.0
    assert graph.distance(0, 25.0, 0, 10.0) == math.inf
    assert graph.distance(1, 0.0, 2, 0.0) == math.inf


def test_a_round_trip_leads_back_to_the_lane_itself() -> None:
    graph = RoadGraph((straight("a", (0, 0), (30, 0), "b"), straight("b", (30, 0), (0, 0), "a")))
    assert graph.ahead(0) == [Reached(0, 0.0), Reached(1, 30.0), Reached(0, 60.0)]
    assert graph.distance(0, 20.0, 0, 10.0) == 50.0


def test_who_stands_where_lanes_part_is_in_the_way_on_both() -> None:
    # The two lanes leave (0, 0) at a small angle: at x = 10 they overlap; 1 belongs to the upper one by its heading, 0 follows the lower.
    lanes = (straight("up", (0, 0), (60, 6)), straight("down", (0, 0), (60, -6)))
    xy, heading = np.asarray([[5.0, -0.5], [15.0, 0.3]]), np.asarray([-0.1, 0.1])
    on = locate(xy, heading, lanes)
    assert on.lane.tolist() == [1, 0]
    found, decides = along_lanes(np.zeros(2, dtype=np.int64), on, RoadGraph(lanes))
    assert decides.all()
    assert found.leader.tolist() == [1, -1]
    assert found.follower.tolist() == [-1, 0]


def test_who_stands_across_a_lane_neither_leads_nor_follows_there() -> None:
    lanes = (straight("a", (0, 0), (60, 0)),)
    on = locate(np.asarray([[5.0, 0.0], [15.0, 0.0]]), np.asarray([0.0, math.pi / 2]), lanes)
    found, decides = along_lanes(np.zeros(2, dtype=np.int64), on, RoadGraph(lanes))
    assert decides.tolist() == [True, False]
    assert found.leader.tolist() == [-1, -1]


def test_leaders_and_followers_equal_a_plain_search_over_all_ways() -> None:
    rng = np.random.default_rng(4)
    rows = 250
    # A ring of four, a branch that leaves it and comes back, and a lane that ends.
    lanes = (
        straight("n", (0, 40), (60, 40), "e"),
        straight("e", (60, 40), (60, 0), "s", "out"),
        straight("s", (60, 0), (0, 0), "w"),
        straight("w", (0, 0), (0, 40), "n", "short"),
        straight("short", (0, 40), (50, 44), "e"),
        straight("out", (60, 0), (60, -60)),
    )
    graph = RoadGraph(lanes)
    lane, share = rng.integers(0, len(lanes), rows), rng.random(rows)
    ends = np.asarray([[entry.centre[0], entry.centre[-1]] for entry in lanes])[lane]
    xy = ends[:, 0] + share[:, None] * (ends[:, 1] - ends[:, 0]) + rng.normal(0, 0.3, (rows, 2))
    heading = np.arctan2(*(ends[:, 1] - ends[:, 0]).T[::-1]) + rng.normal(0, 0.4, rows)
    step = rng.integers(0, 40, rows)
    on = locate(xy, heading, lanes)
    found, decides = along_lanes(step, on, graph)
    places = list(zip(on.held.row.tolist(), on.held.lane.tolist(), on.held.along.tolist(), on.held.angle.tolist(), strict=True))

    def nearest(i: int, forward: bool) -> tuple[float, int]:
        best = (math.inf, -1)
        for row, other, along, angle in places:
            if row == i or step[row] != step[i] or abs(angle) > SAME_DIRECTION:
                continue
            here, there = (int(on.lane[i]), float(on.along[i])), (other, along)
            way = graph.distance(*here, *there, reach=500) if forward else graph.distance(*there, *here, reach=500)
            if CLOSE < way <= REACH:
                best = min(best, (way, row))
        return best

    assert decides.sum() > 200
    for i in np.flatnonzero(decides).tolist():
        way, row = nearest(i, forward=True)
        assert found.leader[i] == row
        np.testing.assert_allclose(found.ahead[i], way if row >= 0 else 0, atol=1e-9)
        way, row = nearest(i, forward=False)
        assert found.follower[i] == row
        np.testing.assert_allclose(found.behind[i], way if row >= 0 else 0, atol=1e-9)
