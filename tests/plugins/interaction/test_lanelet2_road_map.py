"""From lanelets to lanes: directions, neighbours, successors, limits, and the other lines."""

from __future__ import annotations

import numpy as np
import pytest

from twm_interaction.lanelet2 import read_osm
from twm_interaction.road_map import chain, make_road_map, signed_area

NODES = {1: (0, 7), 2: (50, 7), 3: (100, 7), 4: (0, 3.5), 5: (50, 3.5), 6: (100, 3.5), 7: (0, 0), 8: (50, 0), 9: (100, 0)}
LANELET = {"type": "lanelet", "subtype": "road", "one_way": "yes"}


def sides(left, right):
    return [*(("way", w, "left") for w in left), *(("way", w, "right") for w in right)]


@pytest.fixture
def road_map(tmp_path, osm):
    """A function that gives the road map of a file with these nodes, ways and relations."""

    def make(ways, relations, nodes=NODES):
        path = tmp_path / "map.osm"
        path.write_text(osm(nodes, ways, relations))
        return make_road_map(read_osm(path))

    return make


LINE, CURB = {"type": "line_thin", "subtype": "dashed"}, {"type": "curbstone", "subtype": "low"}
WAYS = {10: ((1, 2), CURB), 11: ((2, 3), CURB), 12: ((4, 5), LINE), 13: ((5, 6), LINE), 14: ((7, 8), CURB), 15: ((8, 9), CURB)}


def lanes_of(found):
    return {lane.id: lane for lane in found[0].lanes}


def test_lanes_of_one_direction_are_neighbours_and_follow_one_another(road_map):
    ways = WAYS | {14: ((8, 7), CURB)}  # One bound runs the other way.
    lanes = lanes_of(road_map(ways, {i: (sides([a], [b]), LANELET) for i, a, b in ((1, 10, 12), (2, 11, 13), (3, 12, 14), (4, 13, 15))}))
    assert {i: (lane.successors, lane.left, lane.right) for i, lane in lanes.items()} == {
        "1": (("2",), None, "3"),
        "2": ((), None, "4"),
        "3": (("4",), "1", None),
        "4": ((), "2", None),
    }
    np.testing.assert_allclose(lanes["3"].centre[[0, -1]], [(0, 1.75), (50, 1.75)])
    np.testing.assert_allclose(lanes["3"].right_boundary, [(0, 0), (50, 0)])


def test_which_side_is_left_gives_the_direction(road_map):
    # The upper lanelet names the line in the middle as its left bound, so it leads to the west; they are no neighbours to change to.
    lanes = lanes_of(road_map(WAYS, {1: (sides([12], [10]), LANELET), 3: (sides([12], [14]), LANELET)}))
    np.testing.assert_allclose(lanes["1"].centre[[0, -1]], [(50, 5.25), (0, 5.25)])
    np.testing.assert_allclose(lanes["3"].centre[[0, -1]], [(0, 1.75), (50, 1.75)])
    assert [(lane.left, lane.right) for lane in lanes.values()] == [(None, None)] * 2


def test_a_bound_of_several_ways_is_put_together(road_map):
    lanes = lanes_of(road_map(WAYS, {1: (sides([11, 10], [12, 13]), LANELET)}))
    np.testing.assert_allclose(lanes["1"].left_boundary, [(0, 7), (50, 7), (100, 7)])


def test_chains_of_ways_join_at_common_ends_in_any_order_and_direction():
    assert chain([("b", "c"), ("d", "c"), ("b", "a")]) == ("a", "b", "c", "d")
    assert chain([("a", "b"), ("c", "d")]) is None
    assert chain([]) is None


def test_the_sign_of_an_area_is_that_of_its_direction():
    square = np.asarray([(0.0, 0.0), (2.0, 0.0), (2.0, 2.0), (0.0, 2.0)]) + 1000
    assert (signed_area(square), signed_area(square[::-1])) == (4.0, -4.0)


def test_speed_limits_come_from_the_lanelet_or_its_rules(road_map):
    rule = {"type": "regulatory_element", "subtype": "speed_limit", "sign_type": "15mph"}
    ways = WAYS | {20: ((3, 9), {"type": "traffic_sign", "subtype": "de274-30"})}
    lanes = lanes_of(
        road_map(
            ways,
            {
                1: ([*sides([10], [12]), ("relation", 50, "regulatory_element")], LANELET),
                2: ([*sides([11], [13]), ("relation", 50, "regulatory_element")], LANELET | {"speed_limit": "50 km/h"}),
                3: ([*sides([12], [14]), ("relation", 51, "regulatory_element")], LANELET),
                4: (sides([13], [15]), LANELET),
                50: ([], rule),
                51: ([("way", 20, "refers")], {"type": "regulatory_element", "subtype": "speed_limit"}),
            },
        )
    )
    assert [lane.speed_limit for lane in lanes.values()] == pytest.approx([15 * 0.44704, 50 / 3.6, 30 / 3.6, None])


def test_other_lines_have_their_kinds(road_map):
    kinds = (
        "curbstone",
        "road_border",
        "guard_rail",
        "line_thin",
        "line_thick",
        "pedestrian_marking",
        "stop_line",
        "virtual",
        "traffic_sign",
    )
    found, left_out = road_map({i: ((1, 9), {"type": kind}) for i, kind in enumerate(kinds)}, {})
    assert [line.kind for line in found.lines] == ["edge", "edge", "edge", "line", "line", "crosswalk", "stop"]
    assert not left_out


def test_crosswalks_walkways_and_areas_become_outlines(road_map):
    found, _ = road_map(
        WAYS,
        {
            1: (sides([10], [12]), LANELET | {"subtype": "crosswalk"}),
            2: (sides([11], [13]), LANELET | {"subtype": "walkway"}),
            3: ([("way", 10, "outer"), ("way", 12, "outer"), ("way", 30, "outer")], {"type": "multipolygon", "subtype": "keepout"}),
        },
    )
    outlines = [line for line in found.lines if line.kind in ("crosswalk", "area")]
    assert [line.kind for line in outlines] == ["crosswalk", "area"]
    np.testing.assert_allclose(outlines[0].points, [(0, 7), (50, 7), (50, 3.5), (0, 3.5), (0, 7)])
    assert not found.lanes


def test_what_cannot_be_put_together_is_counted(road_map):
    found, left_out = road_map(
        WAYS,
        {
            1: (sides([10, 15], [12]), LANELET),
            2: (sides([11], []), LANELET),
            3: ([("way", 10, "outer"), ("way", 15, "outer")], {"type": "multipolygon", "subtype": "keepout"}),
        },
    )
    assert not found.lanes
    assert left_out == {
        "lanelets of the map whose bounds are missing or do not join": 2,
        "areas of the map whose outline does not join": 1,
    }
