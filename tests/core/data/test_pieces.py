"""Cutting rows into scenarios: every row comes out once, in its group and stretch of time."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.data.importing.pieces import LAST_STEP, pieces
from twm_core.data.importing.tracks import Rows
from twm_core.errors import DataError


def rows(step, track=None, **rest):
    step = np.asarray(step, dtype=np.int64)
    n = len(step)
    return Rows(
        track=np.ones(n, dtype=np.int64) if track is None else np.asarray(track),
        step=step,
        columns={"x": step * 1.0, "y": np.zeros(n)},
        type=np.full(n, 6),
        line=np.arange(n) + 1,
        **rest,
    )


def test_every_row_comes_out_once_in_order_of_time():
    generator = np.random.default_rng(0)
    step = generator.permutation(100)
    found = list(pieces([(0, rows(step[:37])), (0, rows(step[37:]))], file="f", dt=0.1, scenario_seconds=3.0))
    assert [(p.number, p.of, p.begin) for p in found] == [(0, 4, 0), (1, 4, 30), (2, 4, 60), (3, 4, 90)]
    for p in found:
        np.testing.assert_array_equal(np.sort(p.rows.step) + p.begin, np.arange(p.begin, min(p.begin + 30, 100)))
        np.testing.assert_array_equal(p.rows.columns["x"], p.rows.step + p.begin)


def test_a_piece_begins_at_its_first_row():
    found = list(pieces([(0, rows([12, 13, 34]))], file="f", dt=1.0, scenario_seconds=10))
    assert [(p.begin, p.rows.step.tolist()) for p in found] == [(12, [0, 1]), (34, [0])]


def test_zero_seconds_never_cut():
    (piece,) = pieces([(0, rows([5, 100_000]))], file="f", dt=0.1, scenario_seconds=0)
    assert (piece.begin, piece.name("a")) == (5, "a")


def test_groups_stay_apart_and_a_group_in_one_piece_keeps_its_name():
    found = list(pieces([(np.asarray(["b", "a", "b", "b"]), rows([0, 0, 1, 25]))], file="f", dt=1.0, scenario_seconds=20))
    assert [(p.group, p.name(str(p.group))) for p in found] == [("a", "a"), ("b", "b/0000"), ("b", "b/0001")]


def test_what_rows_carry_besides_their_columns_stays_with_them():
    given = rows(
        [3, 1, 2],
        track=np.asarray(["P1", "P2", "P1"]),
        code=np.asarray([1, 2, 1], dtype=np.uint8),
        lane=np.asarray([1, 0, 2]),
        leader=np.asarray(["", "P1", ""]),
        no_track="",
    )
    (piece,) = pieces([(0, given)], file="f", dt=0.1, scenario_seconds=0)
    order = np.argsort(piece.rows.step)
    assert piece.rows.track[order].tolist() == ["P2", "P1", "P1"]
    assert piece.rows.code[order].tolist() == [2, 1, 1]
    assert piece.rows.lane[order].tolist() == [0, 2, 1]
    assert piece.rows.leader[order].tolist() == ["P1", "", ""]
    assert (piece.rows.no_track, piece.rows.follower, piece.rows.line[order].tolist()) == ("", None, [2, 3, 1])


@pytest.mark.parametrize("step", [-1, LAST_STEP + 1])
def test_an_impossible_time_is_refused_with_its_row(step):
    with pytest.raises(DataError, match=r"f\.txt, row 2: its time, step -?\d+, is impossible"):
        list(pieces([(0, rows([0, step]))], file="f.txt", dt=0.1, scenario_seconds=0))
