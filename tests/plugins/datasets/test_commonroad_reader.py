"""The reader `commonroad`: what a file becomes, and that it and the dataset say the same of the real files."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.importing.reader import Skipped
from twm_core.data.scenario import LIGHT_STATES
from twm_datasets import commonroad as dataset
from twm_datasets.commonroad_reader import build
from twm_datasets.commonroad_xml import read_file
from twm_datasets.config_readers import CommonRoadReaderConfig


def read(reader, *paths):
    found = [item for source in reader.sources(paths) for item in reader.read(source)]
    recordings = [item for item in found if not isinstance(item, Skipped)]
    return recordings, {reason: n for item in found if isinstance(item, Skipped) for reason, n in item.counts.items()}


def reader(**options):
    return build(CommonRoadReaderConfig(**options))


@pytest.mark.parametrize("version", ["2018b", "2020a"])
def test_a_file_becomes_a_recording(version, tmp_path, commonroad, drive):
    path = tmp_path / "USA_Lanker-2_16_T-1.xml"
    states = [(2, 5.0, 1.0, 3.1, 2.0), (3, 4.8, 1.0, -3.2, 3.0)]
    path.write_text(commonroad({"7": drive(5), "8": states}, version=version, benchmark="USA_Lanker-2_16_T-1"))
    (found,), skipped = read(reader(), tmp_path)
    assert (found.id, found.site, found.group, found.dt, found.steps, found.start) == (
        "USA_Lanker-2_16_T-1",
        "Lanker-2",
        "Lanker",
        0.1,
        5,
        0,
    )
    assert (found.track, found.first.tolist(), found.length.tolist()) == (("7", "8"), [0, 2], [5, 2])
    np.testing.assert_allclose(found.columns["heading"][5:], [3.1, 2 * np.pi - 3.2])
    np.testing.assert_allclose(found.columns["vx"][5:], [2 * np.cos(3.1), 3 * np.cos(3.2)])
    np.testing.assert_allclose(found.columns["vy"][5:], [2 * np.sin(3.1), -3 * np.sin(3.2)])
    assert "ax" not in found.columns
    assert [(lane.id, lane.successors, lane.speed_limit) for lane in found.road.lanes] == [
        ("1", ("2",), 13.5),
        ("2", (), None),
        ("3", (), None),
    ]
    assert not skipped


def test_the_example_has_lights_signs_a_crosswalk_and_a_parked_car(tmp_path):
    example = reader()
    (found,), skipped = read(example, *example.example(tmp_path))
    assert skipped == {"static obstacles": 1}
    assert found.track == ("11", "12", "13")
    assert found.lights.lane == ("1", "2")
    assert [LIGHT_STATES[s] for s in found.lights.state[0, [0, 14, 15, 19, 20, 30]]] == ["green", "green", "yellow", "yellow", "red", "red"]
    np.testing.assert_allclose(found.lights.stop, [(60, 5.25), (60, 1.75)])
    assert {lane.speed_limit for lane in found.road.lanes} == {13.89}
    assert [line.kind for line in found.road.lines] == ["stop", "stop", "crosswalk"]


def test_a_file_without_moving_obstacles_is_counted(tmp_path, commonroad):
    (tmp_path / "a.xml").write_text(commonroad({}, extra='<obstacle id="1"><role>static</role></obstacle>'))
    assert read(reader(), tmp_path) == ([], {"static obstacles": 1, "files without a moving obstacle": 1})


def test_long_files_are_cut_with_their_lights(tmp_path):
    example = reader(scenario_seconds=1.0)
    found, _ = read(example, *example.example(tmp_path))
    assert [(r.id[-5:], r.start, r.steps) for r in found] == [("/0000", 0.0, 10), ("/0001", 1.0, 10), ("/0002", 2.0, 10), ("/0003", 3.0, 1)]
    (whole,), _ = read(reader(), tmp_path)
    np.testing.assert_array_equal(np.concatenate([r.lights.state for r in found], axis=1), whole.lights.state)
    assert [r.track for r in found] == [("11", "12", "13"), ("11", "12", "13"), ("11", "12"), ("11", "12")]


def test_the_real_files_hold_what_the_dataset_reads(recordings):
    place = recordings("commonroad_ngsim")
    found, skipped = read(reader(), place)
    assert (len(found), sum(len(r.track) for r in found), sum(len(r.code) for r in found)) == (20, 625, 39_186)
    assert {r.site for r in found} == {"US101", "Lanker-2", "Peach-2", "Peach-4"}
    assert {r.group for r in found} == {"US101", "Lanker", "Peach"}
    assert not skipped
    one = found[0]
    same = dataset.to_scenario(read_file(place / f"{one.id}.xml"), lanes=4096, sites=64)
    assert (sorted(one.track), one.site) == (sorted(same.track), same.site)
    names = ("x", "y", "heading", "vx", "vy", "length", "width")
    for i, track in enumerate(one.track):
        j = same.track.index(track)
        ours = np.stack([one.columns[name][one.offset[i] : one.offset[i] + one.length[i]] for name in names], axis=1)
        theirs = same.state[same.offset[j] : same.offset[j] + same.length[j]]
        ours[:, :2] -= same.origin
        np.testing.assert_allclose(ours, theirs[:, [same.features.index(name) for name in names]], atol=1e-4)
