"""From rows in any order to the tracks of a recording, against rows put in order by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import UNKNOWN, Recording
from twm_core.data.scenario import OBSERVED, OCCLUDED
from twm_core.errors import DataError

FIELDS: dict[str, Any] = {"id": "r", "site": "s", "group": "g", "dt": 0.1}


def recording(rows: list[tuple[Any, int, float]], kind: dict[Any, int] | None = None, **options: Any) -> Recording:
    """Rows of (track, step, x)."""
    names = np.asarray([t for t, _, _ in rows])
    x = np.asarray([x for _, _, x in rows])
    types = np.asarray([(kind or {}).get(t, 1) for t, _, _ in rows], dtype=np.int64)
    extra = {n: options.pop(n) for n in ("leader", "type", "lane", "line", "no_track") if n in options}
    given_rows = Rows(
        **{"track": names, "step": np.asarray([s for _, s, _ in rows]), "columns": {"x": x, "y": 0 * x}, "type": types, **extra}
    )
    return make_recording(given_rows, file="f.csv", **{**FIELDS, **options})


def test_rows_in_any_order_become_tracks_with_occluded_rows_in_their_gaps() -> None:
    made = recording([(9, 5, 5.0), (2, 1, 1.0), (9, 2, 2.0), (2, 0, 0.0), (9, 3, 3.0)])
    assert made.track == ("2", "9")
    assert made.first.tolist() == [0, 2]
    assert made.length.tolist() == [2, 4]
    assert made.steps == 6
    assert made.code.tolist() == [OBSERVED, OBSERVED, OBSERVED, OBSERVED, OCCLUDED, OBSERVED]
    assert made.columns["x"][made.code == OBSERVED].tolist() == [0.0, 1.0, 2.0, 3.0, 5.0]
    assert made.skipped == {}


def test_a_row_that_repeats_another_is_counted_and_one_that_contradicts_it_is_refused_or_counted() -> None:
    rows = [(1, 0, 0.0), (1, 1, 1.0), (1, 1, 1.0)]
    assert recording(rows).skipped == {"rows that repeat another": 1}
    with pytest.raises(DataError, match=r"f.csv, row 9: track 1, step 1 stands in row 5 already, with other values \(1 such rows\)"):
        recording([*rows[:2], (1, 1, 2.0)], line=np.asarray([4, 5, 9]))
    kept = recording([*rows, (1, 1, 2.0)], contradictions="first")
    assert kept.columns["x"].tolist() == [0.0, 1.0]
    assert kept.skipped == {"rows that repeat another": 1, "rows that contradict an earlier one of their track and step": 1}


def test_missing_values_repeat_one_another() -> None:
    rows = Rows(
        track=np.asarray([1, 1]),
        step=np.asarray([0, 0]),
        columns={"x": np.zeros(2), "y": np.zeros(2), "length": np.full(2, np.nan)},
        type=np.ones(2, dtype=np.int64),
    )
    assert make_recording(rows, file="f", **FIELDS).skipped == {"rows that repeat another": 1}


def test_a_long_gap_or_another_type_begins_a_new_track() -> None:
    made = recording([("a", 0, 0.0), ("a", 3, 3.0), ("a", 7, 7.0)], longest_gap=2)
    assert made.track == ("a", "a#2")
    assert made.length.tolist() == [4, 1]
    assert made.skipped == {"tracks that begin anew after a long gap or as another type": 1}
    elsewhere = recording([("a", 0, 0.0), ("a", 1, 50.0)], type=np.asarray([1, 2]))
    assert (elsewhere.track, elsewhere.type.tolist()) == (("a", "a#2"), [1, 2])
    later = recording([("a", 0, 0.0), ("a", 20, 1.0)], type=np.asarray([1, 2]))
    assert (later.track, later.type.tolist()) == (("a", "a#2"), [1, 2])


def test_a_type_that_flickers_cuts_no_track_and_the_commonest_is_kept() -> None:
    rows = [("a", s, float(s)) for s in range(6)] + [("b", s, 50.0) for s in (0, 1, 3, 4)]
    made = recording(rows, type=np.asarray([1, 2, 2, 1, 2, 2, 3, 4, 4, 3]))
    assert (made.track, made.type.tolist()) == (("a", "b"), [2, 3])
    assert made.length.tolist() == [6, 5]
    assert made.skipped == {"rows of another type than most rows of their track": 4}


def test_a_type_that_changes_where_a_recording_was_cut_keeps_the_name() -> None:
    memory = TrackMemory()
    assert recording([(1, 0, 0.0), (1, 9, 9.0)], memory=memory).track == ("1",)
    later = recording([(1, 0, 10.0), (2, 0, 0.0)], begin_step=10, memory=memory, kind={1: 2})
    assert (later.track, later.type.tolist(), later.skipped) == (("1", "2"), [2, 1], {})
    assert recording([(1, 0, 70.0)], begin_step=11, memory=memory).track == ("1#2",)


def test_a_time_before_the_beginning_is_refused() -> None:
    with pytest.raises(DataError, match=r"f.csv, row 2: its time is before the beginning"):
        recording([(1, 0, 0.0), (1, -1, 0.0)])


def test_neighbours_become_numbers_of_tracks_at_that_step() -> None:
    rows = [(5, 0, 0.0), (5, 1, 1.0), (7, 0, 9.0), (8, 1, 4.0)]
    made = recording(rows, leader=np.asarray([7, 7, 0, 6]))
    # 7 is not there at step 1, 6 is nowhere, 0 is nobody.
    assert made.leader is not None
    assert made.leader.tolist() == [1, UNKNOWN, -1, UNKNOWN]


def test_a_neighbour_that_began_anew_is_the_piece_that_is_there() -> None:
    rows = [(1, s, 0.0) for s in range(10)] + [(2, 0, 5.0), (2, 9, 5.0)]
    made = recording(rows, leader=np.asarray([2] * 10 + [0, 0]), longest_gap=3)
    assert made.track == ("1", "2", "2#2")
    assert made.leader is not None
    assert made.leader.tolist() == [1, *[UNKNOWN] * 8, 2, -1, -1]


def test_pieces_of_a_group_agree_about_names() -> None:
    memory = TrackMemory()
    options: dict[str, Any] = {"longest_gap": 5, "memory": memory}
    assert recording([(1, 0, 0.0), (1, 9, 0.0), (2, 9, 0.0), (3, 2, 0.0)], **options).track == ("1", "1#2", "2", "3")
    later = recording([(1, 0, 0.0), (2, 2, 0.0), (3, 0, 0.0)], begin_step=10, **options)
    assert later.track == ("1#2", "2", "3#2")  # 3 was away for seven steps, the others went on.
    assert later.skipped == {"tracks that begin anew after a long gap or as another type": 1}
    assert recording([(2, 0, 90.0)], begin_step=14, kind={2: 4}, **options).track == ("2#2",)


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=30, unique=True), gap=st.integers(0, 4))
def test_nothing_is_lost_and_no_gap_is_longer_than_allowed(rows: list[tuple[int, int]], gap: int) -> None:
    made = recording([(t, s, 100.0 * t + s) for t, s in rows], longest_gap=gap)
    found = []
    for i, name in enumerate(made.track):
        part = slice(int(made.offset[i]), int(made.offset[i] + made.length[i]))
        seen = np.flatnonzero(made.code[part] == OBSERVED)
        assert {seen[0], seen[-1]} == {0, made.length[i] - 1}
        assert (np.diff(seen) - 1 <= gap).all()
        found += [(int(name.partition("#")[0]), int(s) + int(made.first[i]), float(made.columns["x"][part][s])) for s in seen]
    assert sorted(found) == sorted((t, s, 100.0 * t + s) for t, s in rows)
