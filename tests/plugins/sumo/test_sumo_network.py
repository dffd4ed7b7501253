"""The network file becomes a road map: lanes, bounds, neighbours, successors, lines, signals."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.scenario import LIGHT_STATES
from twm_core.errors import DataError
from twm_sumo.example import write_example
from twm_sumo.lights import controlled_lanes, lane_states, make_lights, read_phases
from twm_sumo.network import read_network, sideways


@pytest.fixture
def network(tmp_path):
    write_example(tmp_path)
    return read_network(tmp_path / "crossing.net.xml")


def test_lanes_have_their_bounds_neighbours_and_successors(network):
    lanes = {lane.id: lane for lane in network.road.lanes}
    assert list(lanes) == [":mid_0_0", ":mid_1_0", "west_0", "west_1", "east_1"]  # a footway is no lane
    right, left = lanes["west_0"], lanes["west_1"]
    assert (right.left, right.right, left.left, left.right) == ("west_1", None, None, "west_0")
    assert right.successors == (":mid_0_0",)
    assert lanes[":mid_0_0"].successors == ("east_1",)
    assert lanes["east_1"].right is None
    assert np.allclose(left.left_boundary, [[0, 0], [95, 0]])
    assert np.allclose(left.right_boundary, [[0, -3.2], [95, -3.2]])
    assert (right.speed_limit, right.width) == (13.89, 3.2)


def test_what_bounds_no_lane_becomes_lines(network):
    kinds = [line.kind for line in network.road.lines]
    assert kinds.count("area") == 2  # the junction and the footway
    assert kinds.count("edge") == 4
    for line in network.road.lines:
        if line.kind == "area":
            assert np.array_equal(line.points[0], line.points[-1])


def test_the_inner_side_of_a_two_way_road_is_a_marking(tmp_path):
    write_example(tmp_path)
    path = tmp_path / "crossing.net.xml"
    back = '<edge id="back" from="mid" to="start"><lane id="back_0" index="0" speed="9" length="95" shape="95,1.6 0,1.6"/></edge>\n'
    path.write_text(path.read_text().replace("    <tlLogic", back + "    <tlLogic", 1))
    lines = read_network(path).road.lines
    assert sum(line.kind == "line" for line in lines) == 2


def test_a_line_moved_sideways_keeps_its_distance():
    shapely = pytest.importorskip("shapely")
    turn = np.linspace(0, np.pi / 2, 40)
    line = 30 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for metres in (2.0, -3.5):
        moved = sideways(line, metres)
        distances = [shapely.LineString(line).distance(shapely.Point(p)) for p in moved]
        assert np.allclose(distances, abs(metres), atol=0.01)
        assert (np.hypot(*moved.T) < 30).all() == (metres > 0)  # driven counter-clockwise, the left is inside


def test_letters_of_a_signal_become_colours_and_the_most_permissive_counts(network):
    assert controlled_lanes(network) == ("west_0", "west_1")
    for letters, expected in {"rG": "red green", "ug": "red green", "yY": "yellow yellow", "oO": "yellow off", "sr": "green red"}.items():
        state = lane_states(network.signals, ("west_0", "west_1"), {"mid": letters})
        assert " ".join(LIGHT_STATES[s] for s in state) == expected
    both = [s.__class__(s.light, s.index, "west_0") for s in network.signals]
    assert LIGHT_STATES[lane_states(both, ("west_0",), {"mid": "rG"})[0]] == "green"
    assert LIGHT_STATES[lane_states(network.signals, ("west_0",), {})[0]] == "unknown"


def test_states_hold_until_they_change(tmp_path, network):
    path = tmp_path / "some.tls.xml"
    path.write_text('<tlsStates><tlsState time="1" id="mid" state="rr"/><tlsState time="1.5" id="mid" state="GG"/></tlsStates>')
    lights = make_lights(network, read_phases(path), np.asarray([0.9, 1.0, 1.4, 1.5, 9.0]))
    assert [LIGHT_STATES[s] for s in lights.state[1]] == ["unknown", "red", "red", "green", "green"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('shape="0.00,-1.60 95.00,-1.60"', 'shape="0.00,-1.60"', "line 12: a shape of 1 points"),
        ('shape="0.00,-1.60 95.00,-1.60"', 'shape="0.00 95.00"', "line 12: '0.00' is not a point"),
        ('id="west_1" index="1"', 'id="west_0" index="1"', "line 12: lane west_0 stands there twice"),
        ('via=":mid_0_0"', 'via=":mid_7_0"', "there is no lane ':mid_7_0'"),
        ('to="east" fromLane="0" toLane="1" via', 'to="east" fromLane="0" toLane="9" via', "there is no lane 9 of edge 'east'"),
        ('width="2.00"', 'width="-2.00"', "width -2 m"),
        ('linkIndex="0"', 'linkIndex="0.5"', "linkIndex 0.5 is not a count"),
    ],
)
def test_damage_is_named_by_line(tmp_path, old, new, said):
    write_example(tmp_path)
    path = tmp_path / "crossing.net.xml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read_network(path)
    assert said in caught.value.message
    assert "crossing.net.xml, line" in caught.value.message


def test_a_file_without_lanes_is_no_network(tmp_path):
    (tmp_path / "x.net.xml").write_text("<net/>")
    with pytest.raises(DataError, match="has no lanes"):
        read_network(tmp_path / "x.net.xml")
