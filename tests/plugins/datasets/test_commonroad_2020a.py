"""CommonRoad 2020a: signs, lights, stop lines, crosswalks, obstacles of all kinds, intervals and regions, shapes."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.scenario import LIGHT_STATES
from twm_core.errors import DataError
from twm_datasets.commonroad_map import Light
from twm_datasets.commonroad_xml import read_file

CAR = "<type>car</type><shape><rectangle><length>4.5</length><width>1.8</width></rectangle></shape>"


@pytest.fixture
def read(tmp_path, commonroad, drive):
    """A function that reads a file with one car and some further elements."""

    def make(extra="", change=lambda text: text):
        path = tmp_path / "a.xml"
        path.write_text(change(commonroad({"7": drive(5)}, version="2020a", extra=extra)))
        return read_file(path)

    return make


def state(tag="initialState", time="<exact>0</exact>", place="<point><x>1</x><y>2</y></point>", angle="<exact>0.5</exact>", more=""):
    return f"<{tag}><position>{place}</position><orientation>{angle}</orientation><time>{time}</time>{more}</{tag}>"


def obstacle(inside, shape=CAR):
    return f'<dynamicObstacle id="90">{shape}{inside}</dynamicObstacle>'


def test_what_is_no_track_is_counted(read):
    occupancy = "<occupancySet><occupancy><shape/><time><exact>1</exact></time></occupancy></occupancySet>"
    raw = read(
        f'<staticObstacle id="1"/><phantomObstacle id="2"/>{obstacle(state() + occupancy)}'
        '<trafficSign id="3"><trafficSignElement><trafficSignID>206</trafficSignID></trafficSignElement></trafficSign>'
        '<intersection id="4"><incoming id="5"><incomingLanelet ref="1"/></incoming></intersection>'
        "<location><geoNameId>-999</geoNameId></location><scenarioTags><urban/></scenarioTags>"
    )
    assert [t.id for t in raw.tracks] == ["7"]
    assert raw.static == 1
    assert raw.skipped == {
        "phantom obstacles": 1,
        "obstacles with a set of occupancy instead of a trajectory": 1,
        "traffic signs other than speed limits": 1,
    }


def test_an_obstacle_without_velocity_is_read_without(read):
    raw = read(obstacle(state() + f"<trajectory>{state('state', '<exact>1</exact>')}</trajectory>"))
    np.testing.assert_array_equal(raw.tracks[1].rows[:, 3], [np.nan, np.nan])


def test_intervals_and_regions_are_taken_at_their_middle_and_counted(read):
    speed = "<velocity><intervalStart>2</intervalStart><intervalEnd>5</intervalEnd></velocity>"
    angle = "<intervalStart>0.1</intervalStart><intervalEnd>0.3</intervalEnd>"
    box = "<rectangle><length>2</length><width>1</width><center><x>4</x><y>6</y></center></rectangle>"
    ring = "<polygon><point><x>0</x><y>0</y></point><point><x>4</x><y>0</y></point><point><x>4</x><y>2</y></point></polygon>"
    circle = "<circle><radius>1</radius><center><x>-1</x><y>-2</y></center></circle>"
    later = "".join(state("state", f"<exact>{t}</exact>", place) for t, place in ((1, ring), (2, circle)))
    raw = read(obstacle(state(place=box, angle=angle, more=speed) + f"<trajectory>{later}</trajectory>"))
    np.testing.assert_allclose(raw.tracks[1].rows[0], [4, 6, 0.2, 3.5])
    np.testing.assert_allclose(raw.tracks[1].rows[1:, :2], [(2, 1), (-1, -2)])
    assert raw.skipped == {"values given as intervals or regions, taken at their middle": 5}


POLYGON = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in ((-1, -1), (4, -1), (4, 1), (-1, 1)))


@pytest.mark.parametrize(
    ("shape", "length", "width", "offset"),
    [
        ("<circle><radius>0.4</radius></circle>", 0.8, 0.8, (0, 0)),
        (f"<polygon>{POLYGON}</polygon>", 5, 2, (1.5, 0)),
        ("<rectangle><length>4</length><width>2</width><center><x>1</x><y>0.5</y></center></rectangle>", 4, 2, (1, 0.5)),
        ("<rectangle><length>4</length><width>2</width><orientation>1.5707963267948966</orientation></rectangle>", 2, 4, (0, 0)),
        # A tractor of 4 m with a trailer of 6 m behind it.
        (
            "<rectangle><length>4</length><width>2</width></rectangle>"
            "<rectangle><length>6</length><width>2.5</width><center><x>-5</x><y>0</y></center></rectangle>",
            10,
            2.5,
            (-3, 0),
        ),
    ],
)
def test_a_shape_gives_size_and_centre(shape, length, width, offset, read):
    turned = "<exact>1.5707963267948966</exact>"  # North: ahead is +y, left is -x.
    raw = read(obstacle(state(angle=turned), shape=f"<type>truck</type><shape>{shape}</shape>"))
    track = raw.tracks[1]
    assert (track.length, track.width) == pytest.approx((length, width))
    np.testing.assert_allclose(track.rows[0, :2], (1 - offset[1], 2 + offset[0]), atol=1e-12)


def test_a_speed_limit_comes_from_the_sign_that_a_lanelet_names(read):
    def change(text):
        return text.replace("<speedLimit>13.5</speedLimit>", '<trafficSignRef ref="30"/><trafficSignRef ref="31"/>')

    signs = "".join(
        f'<trafficSign id="{i}"><trafficSignElement><trafficSignID>{kind}</trafficSignID>'
        f"<additionalValue>{value}</additionalValue></trafficSignElement></trafficSign>"
        for i, kind, value in ((30, "274", 13.89), (31, "R2-1", 11.18), (32, "274", 1))
    )
    raw = read(signs, change)
    assert [lanelet.speed_limit for lanelet in raw.lanelets] == [11.18, None, None]


def test_a_predecessor_alone_makes_a_successor_too(read):
    raw = read("", lambda text: text.replace('<successor ref="2"/>', ""))
    assert raw.lanelets[0].successors == ("2",)


def test_crosswalks_and_sidewalks_are_outlines_not_lanes(read):
    def change(text):
        text = text.replace('<predecessor ref="1"/></lanelet>', '<predecessor ref="1"/><laneletType>crosswalk</laneletType></lanelet>')
        return text.replace('drivingDir="same"/></lanelet>', 'drivingDir="same"/><laneletType>sidewalk</laneletType></lanelet>')

    raw = read("", change)
    assert [lanelet.id for lanelet in raw.lanelets] == ["1"]
    assert [(line.kind, len(line.points)) for line in raw.lines] == [("crosswalk", 5), ("area", 5)]


def test_environment_obstacles_are_outlines(read):
    ring = "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in ((0, 20), (9, 20), (9, 30)))
    raw = read(f'<environmentObstacle id="5"><type>building</type><shape><polygon>{ring}</polygon></shape></environmentObstacle>')
    assert [line.kind for line in raw.lines] == ["obstacle"]
    np.testing.assert_array_equal(raw.lines[0].points, [(0, 20), (9, 20), (9, 30), (0, 20)])


LIGHT = (
    '<trafficLight id="60"><cycle><cycleElement><duration>3</duration><color>red</color></cycleElement>'
    "<cycleElement><duration>1</duration><color>redYellow</color></cycleElement>"
    "<cycleElement><duration>2</duration><color>green</color></cycleElement><timeOffset>4</timeOffset></cycle></trafficLight>"
)


def test_a_light_shows_its_cycle_from_its_offset_on(read):
    stop = '<stopLine><lineMarking>solid</lineMarking></stopLine><trafficLightRef ref="60"/><speedLimit>'
    raw = read(LIGHT, lambda text: text.replace("<speedLimit>", stop))
    (light,) = raw.lights
    assert light.lane == "1"
    np.testing.assert_allclose(light.stop, (50, 1.75))
    # From step 4 on: red 3 (and 1 with yellow), green 2; before that the cycle as if it had always run.
    assert [LIGHT_STATES[s] for s in light.light.states(0, 12)] == ["red"] * 2 + ["green"] * 2 + ["red"] * 4 + ["green"] * 2 + ["red"] * 2
    assert light.light.states(3, 4).tolist() == light.light.states(0, 12)[3:7].tolist()
    assert [line.kind for line in raw.lines] == ["stop"]


def test_a_stop_line_with_points_is_where_they_are(read):
    line = "<stopLine><point><x>40</x><y>0</y></point><point><x>40</x><y>3.5</y></point><lineMarking>solid</lineMarking></stopLine>"
    raw = read("", lambda text: text.replace("<speedLimit>", line + "<speedLimit>"))
    np.testing.assert_array_equal(raw.lines[0].points, [(40, 0), (40, 3.5)])


def test_a_light_that_is_not_active_is_off_and_one_without_a_cycle_unknown():
    assert [LIGHT_STATES[s] for s in Light(((1, "off"),), 0).states(5, 2)] == ["off", "off"]
    assert [LIGHT_STATES[s] for s in Light((), 0).states(0, 2)] == ["unknown", "unknown"]


BAD = {
    "an interval of time": (
        obstacle(state(time="<intervalStart>0</intervalStart><intervalEnd>1</intervalEnd>")),
        r"a\.xml: obstacle 90, state 0: time is missing",
    ),
    "a lanelet as position": (obstacle(state(place='<lanelet ref="1"/>')), r"obstacle 90, state 0: its position is a <lanelet>"),
    "no orientation": (obstacle(state(angle="")), r"obstacle 90, state 0: orientation is missing"),
    "a flat shape": (
        obstacle(state(), "<type>car</type><shape><rectangle><length>4</length><width>0</width></rectangle></shape>"),
        r"obstacle 90: width is 0, not positive",
    ),
    "a colour": (LIGHT.replace("green", "blue"), r"traffic light 60: colour 'blue' is none of"),
    "a duration": (LIGHT.replace("<duration>3", "<duration>0"), r"traffic light 60: a duration is 0, not a number of steps"),
    "a limit": (
        '<trafficSign id="3"><trafficSignElement><trafficSignID>274</trafficSignID><additionalValue>fast</additionalValue>'
        "</trafficSignElement></trafficSign>",
        r"traffic sign 3: additionalValue is 'fast', not a number",
    ),
    "a lanelet twice": (
        '<lanelet id="1"><leftBound><point><x>0</x><y>1</y></point><point><x>1</x><y>1</y></point></leftBound>'
        "<rightBound><point><x>0</x><y>0</y></point><point><x>1</x><y>0</y></point></rightBound></lanelet>",
        r"lanelet 1 stands in it twice",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_element_is_refused_by_name(case, read):
    extra, message = BAD[case]
    with pytest.raises(DataError, match=message) as caught:
        read(extra)
    assert caught.value.hint
