"""Reading one CommonRoad file: what a good file gives, and that every bad one is named with its place."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_datasets.commonroad_xml import read_file


def test_a_file_gives_its_tracks_and_lanelets(tmp_path, commonroad, drive):
    path = tmp_path / "a.xml"
    path.write_text(commonroad({"7": drive(5), "8": drive(3, first=2)}))
    raw = read_file(path)
    assert (raw.dt, raw.benchmark, [t.id for t in raw.tracks], [t.first for t in raw.tracks]) == (
        0.1,
        "USA_US101-1_1_T-1",
        ["7", "8"],
        [0, 2],
    )
    assert (raw.tracks[0].length, raw.tracks[0].width, AGENT_TYPES[raw.tracks[0].type]) == (4.5, 1.8, "car")
    np.testing.assert_allclose(raw.tracks[0].rows[1], [0.5, 1.75, 0.0, 5.03])
    first, second, third = raw.lanelets
    assert (first.id, first.successors, first.left, first.right, first.speed_limit) == ("1", ("2",), None, "3", 13.5)
    assert (third.left, second.speed_limit) == ("1", None)


def test_a_2020a_file_with_the_same_elements_is_read_alike(tmp_path, commonroad, drive):
    for version in ("2018b", "2020a"):
        (tmp_path / f"{version}.xml").write_text(commonroad({"7": drive(5)}, version=version))
    old, new = (read_file(tmp_path / f"{v}.xml") for v in ("2018b", "2020a"))
    np.testing.assert_array_equal(old.tracks[0].rows, new.tracks[0].rows)


def test_static_obstacles_are_counted(tmp_path, commonroad, drive):
    path = tmp_path / "a.xml"
    path.write_text(commonroad({"7": drive(5)}, extra='<obstacle id="1"><role>static</role></obstacle><staticObstacle id="2"/>'))
    assert read_file(path).static == 2


BAD = {
    "truncated": (lambda s: s[:400], r"bad\.xml, line 1, column \d+: not well-formed XML"),
    "another root": (lambda s: "<osm/>", r"bad\.xml: the root element is <osm>"),
    "another version": (lambda s: s.replace("2018b", "2017a"), r"bad\.xml: CommonRoad version '2017a' is not supported"),
    "no obstacle": (lambda s: s[: s.index("<obstacle")] + "</commonRoad>", r"bad\.xml: holds no moving obstacle"),
    "not a number": (
        lambda s: s.replace("<velocity><exact>5.03", "<velocity><exact>NaN"),
        r"bad\.xml: obstacle 7, state 1: velocity is NaN, not a finite",
    ),
    "words": (
        lambda s: s.replace("<velocity><exact>5.03", "<velocity><exact>fast"),
        r"obstacle 7, state 1: velocity is 'fast', not a number",
    ),
    "no time": (lambda s: s.replace("<time><exact>2</exact></time>", ""), r"bad\.xml: obstacle 7, state 2: time is missing"),
    "a step left out": (
        lambda s: s.replace("<time><exact>2</exact>", "<time><exact>3</exact>"),
        r"obstacle 7: time step 1 is followed by 3, not 2",
    ),
    "half a step": (
        lambda s: s.replace("<time><exact>2</exact>", "<time><exact>1.5</exact>"),
        r"obstacle 7: its time steps are not whole numbers",
    ),
    "no shape": (lambda s: s.replace("rectangle", "polygon"), r"obstacle 7: its shape is neither a rectangle nor a circle"),
    "no time step size": (lambda s: s.replace(' timeStepSize="0.1"', ""), r"bad\.xml: timeStepSize is missing"),
    "a bound of one point": (lambda s: s.replace("<point><x>0</x><y>3.5</y></point>", ""), r"lanelet 1: leftBound has 1 point"),
    "the same obstacle twice": (lambda s: s.replace('id="8"', 'id="7"'), r"obstacle 7 stands in it twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name_and_place(case, tmp_path, commonroad, drive):
    spoil, message = BAD[case]
    path = tmp_path / "bad.xml"
    path.write_text(spoil(commonroad({"7": drive(5), "8": drive(5)})))
    with pytest.raises(DataError, match=message) as caught:
        read_file(path)
    assert caught.value.hint
