"""Reader `waymo-json`: both dialects (Nocturne and GPUDrive), the unit of headings, and damaged files."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from twm_core.errors import DataError
from twm_driving.example_scene import LIGHT_LANE
from twm_driving.waymo.json_example import example_scenario
from twm_driving.waymo.json_reader import heading_unit


def write(tmp_path, change=lambda scenario: None):
    scenario = example_scenario()
    change(scenario)
    path = tmp_path / "tfrecord-1.json"
    path.write_text(json.dumps(scenario))
    return path


def to_nocturne(scenario):
    """Degrees, no ids, no metadata, no heights, stop signs as one point; as the first preprocessing wrote it."""
    for thing in scenario["objects"]:
        thing["heading"] = [math.degrees(h) if h != -10000 else h for h in thing["heading"]]
        for key in ("id", "height", "mark_as_expert"):
            del thing[key]
    for road in scenario["roads"]:
        del road["id"], road["map_element_id"]
        if road["type"] == "stop_sign":
            road["geometry"] = road["geometry"][0]
    del scenario["metadata"], scenario["scenario_id"]


def test_the_dialect_of_nocturne_gives_the_same_tracks(make_reader, read_all, tmp_path):
    reader = make_reader("waymo-json")
    (later,) = read_all(reader, write(tmp_path))
    (first,) = read_all(reader, write(tmp_path, to_nocturne))
    assert first.track == ("0", "1", "2", "3")
    for column in ("x", "y", "heading", "vx", "vy", "length", "width"):
        np.testing.assert_allclose(first.columns[column], later.columns[column], atol=1e-9)
    assert np.isnan(first.columns["height"]).all()
    assert (first.ego, first.scored) == (None, None)
    assert first.site == "tfrecord-1"
    assert len(first.road.lanes) == 4
    assert first.skipped == {"stop signs, which are points": 1}


def test_the_unit_of_headings_can_be_forced(make_reader, read_all, tmp_path):
    path = write(tmp_path)
    (radians,) = read_all(make_reader("waymo-json", heading="radians"), path)
    (degrees,) = read_all(make_reader("waymo-json", heading="degrees"), path)
    np.testing.assert_allclose(degrees.columns["heading"], np.deg2rad(radians.columns["heading"]))


def test_headings_are_told_apart_by_size_or_by_the_motion():
    angle = np.linspace(-3, 3, 50)
    vx, vy = 5 * np.cos(angle), 5 * np.sin(angle)
    assert heading_unit(angle, vx, vy) == "radians"
    assert heading_unit(np.rad2deg(angle), vx, vy) == "degrees"
    # All within two pi: only the motion tells. 0.05 rad are 2.9 degrees.
    small = np.linspace(0.02, 0.05, 50)
    vx, vy = 5 * np.cos(small), 5 * np.sin(small)
    assert heading_unit(small, vx, vy) == "radians"
    assert heading_unit(np.rad2deg(small), vx, vy) == "degrees"
    assert heading_unit(small, 0 * vx, 0 * vy) == "radians"


def test_states_that_are_called_valid_but_hold_no_position_are_counted(make_reader, read_all, tmp_path):
    def lose(scenario):
        scenario["objects"][0]["position"][3] = {"x": -10000.0, "y": -10000.0, "z": -10000.0}

    (recording,) = read_all(make_reader("waymo-json"), write(tmp_path, lose))
    assert recording.code[3] == 3  # occluded
    assert recording.skipped["states called valid that hold no position"] == 1


def test_is_sdc_and_indices_beyond_the_objects(make_reader, read_all, tmp_path):
    def mark(scenario):
        scenario["objects"][2]["is_sdc"] = True
        scenario["metadata"]["tracks_to_predict"].append({"track_index": 9, "difficulty": 0})

    (recording,) = read_all(make_reader("waymo-json"), write(tmp_path, mark))
    assert recording.track[recording.ego] == "3"
    assert int(recording.scored.sum()) == 2
    assert recording.skipped["entries of tracks_to_predict beyond the objects of the file"] == 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: s.pop("objects"), r"objects is missing, not a list"),
        (lambda s: s.update(objects=[]), r"object 0: valid is missing"),
        (lambda s: s["objects"][1]["heading"].pop(), r"object 1: heading has 29 entries, the first object has 30 steps"),
        (lambda s: s["objects"][1]["position"][7].update(x="1"), r"object 1, position: point 7 has no number x"),
        (lambda s: s["objects"][1]["heading"].__setitem__(7, None), r"object 1: heading is None, not a number"),
        (lambda s: s["objects"][1]["valid"].__setitem__(7, "yes"), r"object 1: valid holds something else"),
        (lambda s: s["objects"][1].update(type=3), r"object 1: type is 3, not a text"),
        (lambda s: s["objects"][1].update(id=1), r"track 1 stands in it twice"),
        (lambda s: s["objects"][1].update(length=float("inf")), r"object 1: length is inf"),
        (lambda s: s["objects"].__setitem__(1, 5), r"object 1: type is missing"),
        (lambda s: s["roads"][0].pop("geometry"), r"road 0: geometry is missing"),
        (lambda s: s["roads"][0]["geometry"][0].update(y=1e300), r"road 0: point 0 has the impossible y"),
        (lambda s: s["metadata"].update(sdc_track_index="0"), r"sdc_track_index is 0, not the index of an object"),
        (lambda s: s["metadata"].update(tracks_to_predict=5), r"tracks_to_predict is no list"),
        (lambda s: s.update(tl_states=[1]), r"tl_states is no object"),
        (lambda s: s["tl_states"][str(LIGHT_LANE)]["time_index"].__setitem__(0, 30), r"light of lane 11: shows stop at step 30 of 30"),
        (lambda s: s["tl_states"][str(LIGHT_LANE)]["state"].pop(), r"light of lane 11: has 28 states at 29 steps"),
    ],
    ids=range(17),
)
def test_damaged_files_are_refused_with_the_place(change, what, make_reader, read_all, tmp_path):
    with pytest.raises(DataError, match=r"tfrecord-1\.json.*" + what):
        read_all(make_reader("waymo-json"), write(tmp_path, change))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", r"line 1, column 1: not JSON"),
        ('{"objects": [', r"line 1, column 14: not JSON"),
        ("[" * 100_000, r"not JSON"),
        ("9" * 10_000, r"not JSON"),
        ("[]", r"is not a JSON object"),
    ],
)
def test_what_is_not_json_is_refused(text, what, make_reader, read_all, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.json.*" + what):
        read_all(make_reader("waymo-json"), path)
    path.write_bytes(b'{"name": "\xff"}')
    with pytest.raises(DataError, match=r"a\.json: not JSON"):
        read_all(make_reader("waymo-json"), path)


def test_lists_of_files_are_no_scenarios(make_reader, tmp_path):
    path = write(tmp_path)
    (tmp_path / "valid_files.json").write_text("{}")
    (source,) = make_reader("waymo-json").sources([tmp_path])
    assert source.files == (path,)
