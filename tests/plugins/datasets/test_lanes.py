"""Lane geometry, against positions worked out by hand on the small map of `conftest.commonroad_text`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_datasets.commonroad_xml import read_file
from twm_datasets.lanes import centre_line, inside_polygon, locate, make_lanes, resample


@pytest.fixture
def lanes(tmp_path, commonroad, drive):
    path = tmp_path / "a.xml"
    path.write_text(commonroad({"7": drive(2)}))
    return make_lanes(read_file(path).lanelets, (0.0, 0.0))


def test_the_centre_line_runs_in_the_middle_of_its_bounds():
    centre, width = centre_line(np.array([[0.0, 4.0], [3.0, 4.0], [10.0, 4.0]]), np.array([[0.0, 0.0], [10.0, 0.0]]))
    np.testing.assert_allclose(centre[:, 1], 2.0)
    np.testing.assert_allclose(centre[[0, -1], 0], [0.0, 10.0])
    assert width == pytest.approx(4.0)


def test_resampling_keeps_equal_distances():
    line = resample(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 3.0]]), 5)
    np.testing.assert_allclose(line, [[0, 0], [1, 0], [1, 1], [1, 2], [1, 3]])


@given(st.floats(-2, 2), st.floats(-2, 2))
def test_a_point_is_inside_a_disc_polygon_when_it_is_within_its_radius(x, y):
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    radius = np.hypot(x, y)
    if abs(radius - 1) > 1e-3:
        assert inside_polygon(np.array([[x, y]]), ring)[0] == (radius < 1)


def test_a_vehicle_finds_its_lane_and_its_place_in_it(lanes):
    on = locate(np.array([[10.0, 2.0], [10.0, -2.0], [10.0, 9.0]]), np.array([0.1, 0.0, 0.0]), lanes)
    assert on.lane.tolist() == [0, 2, -1]
    np.testing.assert_allclose(on.lane_offset, [0.25, -0.25, 0.0], atol=1e-9)
    np.testing.assert_allclose(on.lane_angle, [0.1, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(on.speed_limit, [13.5, 0.0, 0.0])
    assert on.lane_known.tolist() == [1, 1, 0]
    assert on.lane_left.tolist() == [0, 1, 0]
    assert on.lane_right.tolist() == [1, 0, 0]


def test_turns_and_ends_are_seen_through_the_successor(lanes):
    # Lanelet 2 leads from (50, 1.75) to (51.75, 50): 48.28 m at 87.92 degrees.
    turn, length = np.arctan2(48.25, 1.75), np.hypot(48.25, 1.75)
    on = locate(np.array([[10.0, 1.75], [35.0, 1.75], [10.0, -1.75]]), np.zeros(3), lanes)
    np.testing.assert_allclose(on.lane_turn_20, [0.0, turn, 0.0], atol=1e-9)
    np.testing.assert_allclose(on.lane_turn_50, [turn, turn, 0.0], atol=1e-9)
    np.testing.assert_allclose(on.lane_end, [40 + length, 15 + length, 90.0], rtol=1e-9)


def test_where_lanes_overlap_the_heading_decides(tmp_path):
    def square(name, left, right):
        points = lambda side, line: f"<{side}>" + "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in line) + f"</{side}>"  # noqa: E731
        return f'<lanelet id="{name}">{points("leftBound", left)}{points("rightBound", right)}</lanelet>'

    east = square("east", [(0, 4), (4, 4)], [(0, 0), (4, 0)])
    north = square("north", [(0, 0), (0, 4)], [(4, 0), (4, 4)])
    car = (
        '<obstacle id="1"><shape><circle><radius>1</radius></circle></shape>'
        "<initialState><position><point><x>2</x><y>2</y></point></position>"
        "<orientation><exact>0</exact></orientation><time><exact>0</exact></time><velocity><exact>0</exact></velocity></initialState></obstacle>"
    )
    path = tmp_path / "a.xml"
    path.write_text(f'<commonRoad commonRoadVersion="2018b" timeStepSize="0.1">{east}{north}{car}</commonRoad>')
    lanes = make_lanes(read_file(path).lanelets, (0.0, 0.0))
    on = locate(np.full((4, 2), 2.0), np.array([0.1, 1.5, -3.1, -1.5]), lanes)
    assert on.lane.tolist() == [0, 1, 1, 0]


def test_a_ring_of_lanes_ends_the_search(tmp_path, commonroad, drive):
    path = tmp_path / "a.xml"
    path.write_text(commonroad({"7": drive(2)}).replace('<predecessor ref="1"/>', '<successor ref="1"/>'))
    on = locate(np.array([[10.0, 1.75]]), np.zeros(1), make_lanes(read_file(path).lanelets, (0.0, 0.0)))
    assert 80 < on.lane_end[0] <= 100
