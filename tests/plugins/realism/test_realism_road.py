"""Signed distances to the edges of roads whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.scenario import Lane, RoadMap
from twm_realism.road import BEYOND, INSIDE, OUTSIDE, Road


def lane(name: str, start: float, end: float, y: float, width: float = 4.0, **more: object) -> Lane:
    return Lane(id=name, centre=np.array([[start, y], [end, y]]), width=width, **more)  # type: ignore[arg-type]


TWO = RoadMap(lanes=(lane("right", 0.0, 100.0, 2.0), lane("left", 0.0, 100.0, 6.0)))


def at(road: RoadMap, *points: tuple[float, float]) -> list[float]:
    return Road(road).signed_distance(np.array(points)).tolist()


def test_beside_a_straight_road_it_is_the_distance_to_its_edge() -> None:
    # The road covers 0 < y < 8; the line between the lanes is no edge.
    assert at(TWO, (50.3, 4.0), (50.3, 1.2), (50.3, 7.1), (50.3, -3.3), (50.3, 10.7)) == pytest.approx([-4.0, -1.2, -0.9, 3.3, 2.7])


def test_far_away_it_is_cut_off() -> None:
    wide = RoadMap(lanes=(lane("wide", 0.0, 100.0, 0.0, width=60.0),))
    assert at(wide, (50.0, 0.0), (50.0, 300.0)) == [INSIDE, OUTSIDE]


def test_who_drives_off_the_map_is_still_on_the_road() -> None:
    assert at(TWO, (100.0 + BEYOND / 2, 4.0), (-BEYOND / 2, 2.0), (150.0, -1.0)) == pytest.approx([-4.0, -2.0, 1.0])


def test_a_lane_that_ends_beside_another_one_ends() -> None:
    road = RoadMap(lanes=(lane("main", 0.0, 200.0, 2.0), lane("ramp", 0.0, 100.0, -2.0)))
    assert at(road, (50.0, -2.0))[0] == pytest.approx(-2.0)
    assert at(road, (150.0, -2.0))[0] > 1.9


def test_a_narrow_gap_between_lanes_is_no_edge() -> None:
    road = RoadMap(lanes=(lane("right", 0.0, 100.0, 2.0), lane("left", 0.0, 100.0, 6.3)))
    assert Road(road).exact(np.array([[50.0, 4.15]]))[0] == pytest.approx(-4.15)
    assert at(road, (50.0, 4.15))[0] < -3.8


def test_the_grid_agrees_with_exact_distances_on_a_bend() -> None:
    angle = np.linspace(0.0, 1.5, 60)
    centre = 80.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    road = Road(RoadMap(lanes=(Lane(id="bend", centre=centre, width=4.0),)))
    points = np.random.default_rng(0).uniform([20.0, 5.0], [90.0, 70.0], size=(2000, 2))
    exact, grid = road.exact(points), road.signed_distance(points)
    near = np.abs(exact) < 10.0
    assert np.abs(exact - grid)[near].max() < 0.5
    assert np.abs(exact - grid)[np.abs(exact) < 0.9].max() < 0.02
    radius = np.hypot(*points.T)
    closed = np.maximum(radius - 82.0, 78.0 - radius)
    inner = near & (np.arctan2(*points.T[::-1]) < 1.4)
    # The polyline cuts the circle by at most r (1 - cos(half of a step)).
    assert np.abs(exact - closed)[inner].max() < 0.05
