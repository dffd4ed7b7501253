"""The reader `trajnet`: text and ndjson files, steps from frames, scenes, and how bad rows are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from twm_core.data.scenario import OBSERVED, OCCLUDED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_text.config import TrajNetConfig
from twm_text.trajnet import build


def reader(**options):
    return build(TrajNetConfig(**options))


def test_a_step_is_the_smallest_distance_between_frames_of_a_track(tmp_path, read_all):
    (tmp_path / "a.txt").write_text("24 7 2.0 1.0\n0 7 1.0 1.0\n12 7 1.5 1.0\n\n12  8\t-3.25  4.5\n36 8 -3.0 4.5\n")
    (found,), skipped = read_all(reader(), tmp_path)
    assert (found.id, found.group, found.site, found.dt, found.steps) == ("a", "a", "a", 0.4, 4)
    assert (found.track, found.first.tolist(), found.length.tolist()) == (("7", "8"), [0, 1], [3, 3])
    np.testing.assert_array_equal(found.columns["x"][:4], [1.0, 1.5, 2.0, -3.25])
    assert found.code.tolist() == [OBSERVED, OBSERVED, OBSERVED, OBSERVED, OCCLUDED, OBSERVED]
    assert {AGENT_TYPES[t] for t in found.type} == {"pedestrian"}
    assert set(found.columns) == {"x", "y"}
    assert not skipped


def test_positions_that_are_to_be_predicted_are_counted(tmp_path, read_all):
    (tmp_path / "test.txt").write_text("0 1 1.0 1.0\n10 1 1.5 1.0\n20 1 ? ?\n30 1 ? ?\n")
    (found,), skipped = read_all(reader(), tmp_path)
    assert found.steps == 2
    assert skipped == {"positions to be predicted (?)": 2}


def lines(*objects):
    return "".join(json.dumps(o) + "\n" for o in objects)


def track(f, p, x, y, **more):
    return {"track": {"f": f, "p": p, "x": x, "y": y, **more}}


SCENES = (
    {"scene": {"id": 4, "p": 1, "s": 10, "e": 30, "fps": 2.0, "tag": [1, []]}},
    {"scene": {"id": 5, "p": 2, "s": 20, "e": 40, "fps": 2.0, "tag": [1, []]}},
)
TRACKS = tuple(track(f, p, f / 10, p) for p in (1, 2) for f in (10, 20, 30, 40))


def test_an_ndjson_file_is_one_recording_at_the_rate_of_its_scenes(tmp_path, read_all):
    (tmp_path / "a.ndjson").write_text(lines(*SCENES, *TRACKS, track(50, 1, 9, 9, prediction_number=0, scene_id=4)))
    (found,), skipped = read_all(reader(), tmp_path)
    assert (found.dt, found.steps, found.scored) == (0.5, 4, None)
    np.testing.assert_array_equal(found.columns["x"], [1, 2, 3, 4, 1, 2, 3, 4])
    assert skipped == {"rows that are predictions": 1}


def test_scenes_become_scenarios_that_score_their_primary_pedestrian(tmp_path, read_all):
    (tmp_path / "a.ndjson").write_text(lines(*SCENES, *TRACKS))
    (one, two), _ = read_all(reader(scenes=True), tmp_path)
    assert [(s.id, s.group, s.start, s.steps, s.scored.tolist()) for s in (one, two)] == [
        ("a/4", "a", 0.0, 3, [True, False]),
        ("a/5", "a", 0.5, 3, [False, True]),
    ]
    np.testing.assert_array_equal(two.columns["x"], [2, 3, 4, 2, 3, 4])


BAD_TEXT = {
    "columns": ("0 1 2.0\n", r"bad\.txt, row 2: 3 values where the table has 4"),
    "words": ("0 1 two 3.0\n", r"bad\.txt, row 2: x is 'two', not a finite number"),
    "infinite": ("0 1 1.0 inf\n", r"bad\.txt, row 2: y is 'inf', not a finite number"),
    "one question mark": ("0 1 ? 3.0\n", r"bad\.txt, row 2: x is '\?', not a finite number"),
    "half a frame": ("0.5 1 1.0 1.0\n", r"bad\.txt, row 2, column 'frame': '0\.5' is not an integer"),
    "another phase": ("10 9 1 1\n22 9 2 1\n25 8 1 1\n", r"bad\.txt, row 4: frame 25 is no multiple of 12 frames after frame 10"),
    "a contradiction": ("10 9 8.0 1.0\n", r"bad\.txt, row 2: track 9, step 0 stands in row 1 already, with other values"),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_a_bad_row_of_text_is_refused_by_name_and_row(case, tmp_path, read_all):
    text, message = BAD_TEXT[case]
    (tmp_path / "bad.txt").write_text("10 9 1.0 1.0\n" + text)
    with pytest.raises(DataError, match=message) as caught:
        read_all(reader(), tmp_path)
    assert caught.value.hint


BAD_JSON = {
    "no JSON": ("{track", r"bad\.ndjson, row 2: not JSON"),
    "something else": ('{"row": {}}', r"bad\.ndjson, row 2: .* is neither a track nor a scene"),
    "no number": ('{"track": {"f": 1, "p": 1, "x": "a", "y": 1}}', r"bad\.ndjson, row 2: x is a, not a finite number"),
    "NaN": ('{"track": {"f": 1, "p": 1, "x": NaN, "y": 1}}', r"bad\.ndjson, row 2: x is nan, not a finite number"),
    "half a frame": ('{"track": {"f": 1.5, "p": 1, "x": 1, "y": 1}}', r"bad\.ndjson, row 2: f is 1\.5, not a whole number"),
    "no frames": ('{"scene": {"id": 1, "p": 1}}', r"bad\.ndjson, row 2: s is None"),
    "two rates": (
        '{"scene": {"id": 1, "p": 1, "s": 0, "e": 9, "fps": 2.5}}\n{"scene": {"id": 2, "p": 1, "s": 0, "e": 9, "fps": 5}}',
        r"bad\.ndjson, row 3: scene 2 has 5 fps, scene 1 has 2\.5",
    ),
    "no primary": ('{"scene": {"id": 1, "p": 77, "s": 0, "e": 9, "fps": 2.5}}', r"row 2: scene 1 has no row of its primary pedestrian 77"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_a_bad_line_of_ndjson_is_refused_by_name_and_row(case, tmp_path, read_all):
    text, message = BAD_JSON[case]
    (tmp_path / "bad.ndjson").write_text(lines(track(0, 1, 0, 0)) + text + "\n")
    with pytest.raises(DataError, match=message):
        read_all(reader(scenes=True), tmp_path)


def test_a_file_of_scenes_only_is_refused(tmp_path, read_all):
    (tmp_path / "a.ndjson").write_text(lines(*SCENES))
    with pytest.raises(DataError, match=r"a\.ndjson holds no positions"):
        read_all(reader(), tmp_path)


def test_the_real_files_have_tracks_of_twenty_steps(recordings, read_all):
    found, skipped = read_all(reader(), recordings("trajnet_txt"))
    assert {r.id: len(r.track) for r in found} == {"stanford/deathCircle_0": 648, "stanford/gates_3": 322}
    assert all((r.length == 20).all() and (r.code == OBSERVED).all() for r in found)
    assert not skipped
