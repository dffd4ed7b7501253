"""All readers of the plugin, each on the example in its own official format: the five formats tell the same scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from twm_core.data.features.derive import derive
from twm_core.data.recording import Recording
from twm_core.data.scenario import LIGHT_STATES, OBSERVED, OCCLUDED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.example_scene import LIGHT_GREEN, LIGHT_LANE, LIGHT_STOP, STEPS, example_agents, example_lanes

READERS = ("argoverse2", "argoverse2-sensor", "scenarionet", "waymo", "waymo-json")
WITH_VELOCITY = ("argoverse2", "scenarionet", "waymo", "waymo-json")
WITH_SIZE = ("argoverse2-sensor", "scenarionet", "waymo", "waymo-json")
WITH_LIGHTS = ("scenarionet", "waymo", "waymo-json")


def rows_of(recording: Recording, name: str) -> slice:
    track = recording.track.index(name)
    return slice(int(recording.offset[track]), int(recording.offset[track] + recording.length[track]))


def name_in(reader: str, agent: str) -> str:
    return "AV" if agent == "1" and reader.startswith("argoverse2") else agent


@pytest.mark.parametrize("name", READERS)
def test_every_format_tells_the_example_scene(name, make_reader, read_all, tmp_path):
    reader = make_reader(name)
    (recording,) = read_all(reader, *reader.example(tmp_path))
    assert recording.dt == 0.1
    assert recording.steps == STEPS
    assert sorted(recording.track) == sorted(name_in(name, agent.name) for agent in example_agents())
    for agent in example_agents():
        rows = rows_of(recording, name_in(name, agent.name))
        track = recording.track.index(name_in(name, agent.name))
        steps = np.flatnonzero(agent.valid)
        assert recording.first[track] == steps[0]
        assert recording.length[track] == steps[-1] - steps[0] + 1
        assert AGENT_TYPES[recording.type[track]] == agent.kind
        assert ((recording.code[rows] == OBSERVED) == agent.valid[steps[0] : steps[-1] + 1]).all()
        seen = recording.code[rows] != OCCLUDED
        for column, expected in (("x", agent.x), ("y", agent.y), ("heading", np.full(STEPS, agent.heading))):
            np.testing.assert_allclose(recording.columns[column][rows][seen], expected[steps], atol=1e-6)
        if name in WITH_VELOCITY:
            np.testing.assert_allclose(recording.columns["vx"][rows][seen], agent.vx, atol=1e-6)
            np.testing.assert_allclose(recording.columns["vy"][rows][seen], agent.vy, atol=1e-6)
        if name in WITH_SIZE:
            for size in ("length", "width", "height"):
                np.testing.assert_allclose(recording.columns[size][rows][seen], getattr(agent, size), rtol=1e-6)


@pytest.mark.parametrize("name", READERS)
def test_every_format_names_the_recording_vehicle_and_the_scored_tracks(name, make_reader, read_all, tmp_path):
    reader = make_reader(name)
    (recording,) = read_all(reader, *reader.example(tmp_path))
    assert recording.ego == recording.track.index(name_in(name, "1"))
    if name == "argoverse2-sensor":
        assert recording.scored is None
    else:
        assert {t for t, scored in zip(recording.track, recording.scored, strict=True) if scored} == {"2", "3"}


@pytest.mark.parametrize("name", READERS)
def test_every_format_tells_the_road(name, make_reader, read_all, tmp_path):
    reader = make_reader(name, **({"lane_width": 3.0} if name.startswith("waymo") else {}))
    (recording,) = read_all(reader, *reader.example(tmp_path))
    lanes = {lane.id: lane for lane in recording.road.lanes}
    assert sorted(lanes) == ["11", "12", "13", "14"]
    for expected in example_lanes():
        lane = lanes[str(expected.id)]
        np.testing.assert_allclose(lane.centre[[0, -1]], expected.centre[[0, -1]], atol=1e-6)
        assert np.abs(lane.centre[:, 1] - expected.centre[0, 1]).max() < 1e-6
        if name.startswith("waymo"):  # centre lines only
            assert lane.left_boundary is None
            assert lane.right_boundary is None
            assert lane.width == 3.0
        else:
            np.testing.assert_allclose(lane.left_boundary[[0, -1]], expected.left_boundary[[0, -1]], atol=1e-6)
            np.testing.assert_allclose(lane.right_boundary[[0, -1]], expected.right_boundary[[0, -1]], atol=1e-6)
            assert lane.width == pytest.approx(3.5)
        if name != "waymo-json":  # which has no graph
            assert lane.successors == ((str(expected.successor),) if expected.successor else ())
            assert (lane.left or "0", lane.right or "0") == (str(expected.left), str(expected.right))
    kinds = sorted({line.kind for line in recording.road.lines})
    assert kinds == ["crosswalk", "edge"]


@pytest.mark.parametrize("name", WITH_LIGHTS)
def test_lights_are_red_then_green_and_unknown_where_they_were_not_seen(name, make_reader, read_all, tmp_path):
    reader = make_reader(name)
    (recording,) = read_all(reader, *reader.example(tmp_path))
    assert recording.lights.lane == (str(LIGHT_LANE),)
    np.testing.assert_allclose(recording.lights.stop, [LIGHT_STOP])
    words = [LIGHT_STATES[s] for s in recording.lights.state[0]]
    assert words == ["unknown"] + ["red"] * (LIGHT_GREEN - 1) + ["green"] * (STEPS - LIGHT_GREEN)


@pytest.mark.parametrize("name", READERS)
def test_long_recordings_are_cut_into_pieces_that_fit_together(name, make_reader, read_all, tmp_path):
    reader = make_reader(name, scenario_seconds=1.2)
    paths = reader.example(tmp_path)
    (whole,) = read_all(make_reader(name), *paths)
    pieces = read_all(reader, *paths)
    assert [p.steps for p in pieces] == [12, 12, 6]
    assert [p.start for p in pieces] == pytest.approx([0.0, 1.2, 2.4])
    assert len({p.id for p in pieces}) == 3
    assert {p.group for p in pieces} == {whole.group}
    seen = {(t, int(s), x) for t, s, x in _seen(whole)}
    assert seen == {(t, s + round(p.start / p.dt), x) for p in pieces for t, s, x in _seen(p)}
    assert sum(sum(p.skipped.values()) for p in pieces) == sum(whole.skipped.values())
    if whole.lights is not None:
        assert (np.concatenate([p.lights.state for p in pieces], axis=1) == whole.lights.state).all()


def _seen(recording):
    for i, name in enumerate(recording.track):
        for k in range(int(recording.length[i])):
            row = int(recording.offset[i]) + k
            if recording.code[row] != OCCLUDED:
                yield name, int(recording.first[i]) + k, float(recording.columns["x"][row])


@pytest.mark.parametrize("name", READERS)
def test_reading_twice_gives_the_same(name, make_reader, read_all, tmp_path):
    reader = make_reader(name)
    paths = reader.example(tmp_path)
    first, second = (read_all(reader, *paths)[0] for _ in range(2))
    assert first.track == second.track
    for column in first.columns:
        np.testing.assert_array_equal(first.columns[column], second.columns[column])


@pytest.mark.parametrize("name", READERS)
def test_examples_become_scenarios(name, make_reader, read_all, tmp_path):
    reader = make_reader(name)
    (recording,) = read_all(reader, *reader.example(tmp_path))
    scenario = derive(recording)
    assert {"x", "vx", "heading", "length", "lane_known"} <= set(scenario.features)
    assert np.isfinite(scenario.state).all()


@pytest.mark.parametrize("name", READERS)
def test_sources_are_named_independently_of_where_they_lie(name, make_reader, tmp_path):
    reader = make_reader(name)
    places = [tmp_path / "a" / "data", tmp_path / "b" / "data"]
    named = []
    for place in places:
        reader.example(place)
        named.append([s.name for s in reader.sources([place])])
    assert named[0] == named[1]
    both = [s.name for s in reader.sources(places)]
    assert len(set(both)) == 2
    assert [n.split("/")[0] for n in both] == ["a", "b"]
    assert [s.name for s in reader.sources([places[0], places[0]])] == named[0]


@pytest.mark.parametrize("name", READERS)
def test_paths_without_sources_are_refused(name, make_reader, tmp_path):
    reader = make_reader(name)
    with pytest.raises(DataError, match="nowhere is not there"):
        reader.sources([tmp_path / "nowhere"])
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match="holds no "):
        reader.sources([tmp_path])
    # A file that is given by name is taken, and found not to be one when it is read.
    (source,) = reader.sources([tmp_path / "notes.txt"])
    with pytest.raises(DataError, match=r"notes\.txt"):
        list(reader.read(source))


@pytest.mark.parametrize("name", READERS)
def test_impossible_positions_are_refused_with_file_and_row(name, make_reader, read_all, tmp_path, monkeypatch):
    """The example's second agent stands at 1e12 m at step 9."""
    import twm_driving.argoverse2.example
    import twm_driving.scenarionet.example
    import twm_driving.waymo.example
    import twm_driving.waymo.json_example

    agents = example_agents()
    agents[1].x[9] = 1e12
    for module in (
        twm_driving.argoverse2.example,
        twm_driving.scenarionet.example,
        twm_driving.waymo.example,
        twm_driving.waymo.json_example,
    ):
        monkeypatch.setattr(module, "example_agents", lambda: agents)
    reader = make_reader(name)
    paths: list[Path] = reader.example(tmp_path)
    # Rows count from 1: 30 of the first agent, then steps 5 to 9 of the second. A log has no rows of the first.
    where = {
        "argoverse2": r"scenario_\S+\.parquet, row 35: x is",
        "argoverse2-sensor": r"annotations\.feather, row 5: ",
        "scenarionet": r"\.pkl: track 2, step 9: x is",
        "waymo": r"record 0 \(scenario example0000000001\): track 2, step 9: x is",
        "waymo-json": r"\.json, object 1, position: point 9 has the impossible x",
    }[name]
    with pytest.raises(DataError, match=where):
        read_all(reader, *paths)


@pytest.mark.parametrize("name", READERS)
def test_links_and_hidden_copies_do_not_confuse_the_names(name, make_reader, tmp_path):
    """Download caches keep blobs under hashes and link to them; other systems leave hidden files beside the real ones."""
    reader = make_reader(name)
    reader.example(tmp_path / "data")
    expected = [s.name for s in reader.sources([tmp_path / "data"])]
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate(sorted(p for p in (tmp_path / "data").rglob("*") if p.is_file())):
        blob = tmp_path / "blobs" / f"{number:064x}"
        path.rename(blob)
        path.symlink_to(blob)
        path.with_name(f"._{path.name}").write_bytes(b"")
    assert [s.name for s in reader.sources([tmp_path / "data"])] == expected
    assert [s.name for s in reader.sources([tmp_path / "data", tmp_path / "data"])] == expected
