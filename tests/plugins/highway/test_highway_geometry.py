"""Road geometry against circles, straight lines and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from twm_highway.geometry import BEYOND, build_curve, lane_centre, lane_direction, lane_extent, lanes_beside, road_map, smooth_step
from twm_highway.sites import LANE_TOKENS, MOST_LANES, SITES, Site, site_named


def arc(radius: float) -> Site:
    return Site(name="arc", lanes=2, pieces=((400.0, 1 / radius, 1 / radius),), limits=((0.0, 30.0),), flow=0.3, trucks=0.0, heading=0.4)


@pytest.mark.parametrize("radius", [200.0, -350.0])
def test_an_arc_lies_on_a_circle(radius: float) -> None:
    curve = build_curve(arc(radius))
    s = np.linspace(1.0, 399.0, 777)
    curvature, heading, x, y = curve.at(s)
    np.testing.assert_allclose(curvature, 1 / radius)
    cx, cy = x - radius * np.sin(heading), y + radius * np.cos(heading)
    np.testing.assert_allclose(cx, cx[0], atol=1e-4)
    np.testing.assert_allclose(cy, cy[0], atol=1e-4)
    np.testing.assert_allclose(heading, heading[0] + (s - 1.0) / radius, atol=1e-9)


@pytest.mark.parametrize("site", SITES, ids=lambda s: s.name)
def test_heading_and_curvature_are_derivatives_of_position_and_heading(site: Site) -> None:
    curve = build_curve(site)
    s = np.arange(2.0, site.length - 2.0, 3.7)
    h = 0.05
    curvature, heading, _, _ = curve.at(s)
    _, before, x0, y0 = curve.at(s - h)
    _, after, x1, y1 = curve.at(s + h)
    np.testing.assert_allclose(np.hypot(x1 - x0, y1 - y0), 2 * h, rtol=1e-4)
    np.testing.assert_allclose(np.cos(np.arctan2(y1 - y0, x1 - x0) - heading), 1.0, atol=1e-7)
    np.testing.assert_allclose((after - before) / (2 * h), curvature, atol=1e-5)


def test_the_profile_of_a_lane_change_starts_and_ends_at_rest() -> None:
    u = np.linspace(0, 1, 100_001)
    q, rate = smooth_step(u)
    assert q[0] == 0.0
    assert q[-1] == 1.0
    assert rate[0] == rate[-1] == 0.0
    assert abs(rate.max() - 1.875) < 1e-6
    np.testing.assert_allclose(np.gradient(q, u), rate, atol=1e-4)


@pytest.mark.parametrize("site", SITES, ids=lambda s: s.name)
def test_slopes_of_lanes_are_derivatives_of_their_positions(site: Site) -> None:
    s = np.linspace(1.0, site.length - 1.0, 500)
    for row in range(site.rows):
        rows = np.full(s.shape, row)
        _, slope = lane_centre(site, rows, s)
        after, _ = lane_centre(site, rows, s + 1e-4)
        before, _ = lane_centre(site, rows, s - 1e-4)
        np.testing.assert_allclose((after - before) / 2e-4, slope, atol=1e-6)


@pytest.mark.parametrize("site", SITES, ids=lambda s: s.name)
def test_sites_are_consistent(site: Site) -> None:
    assert 2 <= site.lanes <= MOST_LANES
    assert 440 <= site.length <= 800
    tokens = [site.token(r) for r in range(site.rows)]
    assert len(set(tokens)) == site.rows
    assert max(tokens) < LANE_TOKENS
    for ramp in (site.on_ramp, site.off_ramp):
        assert ramp is None or ramp.parallel < ramp.last < site.length
    for row in range(site.rows):
        assert lane_extent(site, row)[1] <= site.length


def test_lanes_beside_follow_ramps_and_ending_lanes() -> None:
    site = site_named("interchange-3")
    assert site.on_ramp is not None
    s = np.array([site.on_ramp.parallel - 20.0, site.on_ramp.parallel + 20.0])
    left, right = lanes_beside(site, np.full(2, site.on_row), s)
    assert left.tolist() == [False, True]
    assert right.tolist() == [False, False]
    left, right = lanes_beside(site, np.zeros(2, dtype=np.int64), s)
    assert left.tolist() == [True, True]
    assert right.tolist() == [False, True]
    drop = site_named("lane-drop-4")
    left, _ = lanes_beside(drop, np.full(2, drop.lanes - 2), np.array([100.0, drop.length - 1.0]))
    assert left.tolist() == [True, False]


def test_road_maps_hold_every_lane_with_its_neighbours() -> None:
    for site in SITES:
        road = road_map(site, build_curve(site))
        by_id = {lane.id: lane for lane in road.lanes}
        assert len(by_id) == site.lanes + (site.on_ramp is not None) + (site.off_ramp is not None)
        for lane in road.lanes:
            assert lane.left is None or lane.left in by_id
            assert lane.right is None or lane.right in by_id
            assert lane.left_boundary is not None
            across = np.linalg.norm(lane.left_boundary - lane.centre, axis=1)
            np.testing.assert_allclose(across, site.lane_width / 2, atol=1e-9)
            assert np.abs(lane.centre).max() < site.length


def test_the_table_reaches_beyond_the_section() -> None:
    site = SITES[0]
    ends = np.array([site.length + BEYOND - 5.0])
    direction = lane_direction(site, build_curve(site), np.zeros(1, dtype=np.int64), ends)
    assert np.isfinite(direction).all()
