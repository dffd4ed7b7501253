"""Directions of motion against a loop over rows, and centres of boxes against positions worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twm_core.angles import wrap
from twm_tables.headings import HeadingMemory, along_axis, motion_headings, to_centre

DT = 0.1


def by_loop(rows: list[tuple[int, int, float, float]], known: float) -> list[float]:
    """What the module's docstring says, row by row: 5 steps back, 0.5 m, 20 steps away."""
    found = {}
    for track in {t for t, *_ in rows}:
        own = sorted((s, x, y) for t, s, x, y in rows if t == track)
        stretch: list[tuple[int, float, float]] = []
        heading = math.nan
        for s, x, y in own:
            if stretch and s - stretch[-1][0] > 20:
                stretch, heading = [], math.nan
            stretch.append((s, x, y))
            before = [p for p in stretch if p[0] <= s - 5]
            _, x0, y0 = before[-1] if before else stretch[0]
            if math.hypot(x - x0, y - y0) >= 0.5:
                heading = math.atan2(y - y0, x - x0)
            found[track, s] = known if math.isnan(heading) else heading
    return [found[t, s] for t, s, *_ in rows]


steps = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), min_size=1, max_size=40, unique=True)


@given(steps=steps, seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 61), max_size=4))
@example(steps=[(0, 0), (0, 18), (0, 21), (0, 22)], seed=0, cuts=[22])  # looks back farther than an agent may be out of sight
def test_headings_equal_a_loop_over_rows_also_where_recordings_are_cut(steps: list[tuple[int, int]], seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    rows = [(t, s, *(rng.normal(size=2) * 0.6 + s * 0.05).tolist()) for t, s in steps]
    wanted = dict(zip(steps, by_loop(rows, 9.0), strict=True))
    memory = HeadingMemory()
    for begin, end in pairwise([0, *sorted(cuts), 61]):
        part = [r for r in rows if begin <= r[1] < end]
        track, step = (np.asarray([r[i] for r in part], dtype=np.int64) for i in (0, 1))
        x, y = (np.asarray([r[i] for r in part], dtype=np.float64) for i in (2, 3))
        got = motion_headings(track, step, x, y, DT, np.full(len(part), 9.0), memory)
        assert got == pytest.approx([wanted[t, s] for t, s, *_ in part])


def test_later_rows_change_no_heading() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 40)).cumsum(axis=1)
    track, step, known = np.zeros(40, dtype=np.int64), np.arange(40), np.full(40, np.nan)
    whole = motion_headings(track, step, x, y, DT, known, HeadingMemory())
    x[25:], y[25:] = rng.normal(size=(2, 15)) * 50
    assert np.array_equal(motion_headings(track, step, x, y, DT, known, HeadingMemory())[:25], whole[:25], equal_nan=True)


def test_the_centre_lies_half_a_length_behind_the_front_and_before_the_rear() -> None:
    x, y, length = np.asarray([10.0, 10.0, 10.0]), np.asarray([5.0, 5.0, 5.0]), np.asarray([4.0, 4.0, np.nan])
    heading = np.asarray([0.0, np.pi / 2, 0.0])
    front_x, front_y = to_centre(x, y, heading, length)
    assert (front_x.tolist(), front_y.tolist()) == ([8.0, 10.0, 10.0], [5.0, 3.0, 5.0])
    rear_x, rear_y = to_centre(x, y, heading, length, front=False)
    assert (rear_x.tolist(), rear_y.tolist()) == ([12.0, 10.0, 10.0], [5.0, 7.0, 5.0])


def test_the_front_of_an_axis_is_the_end_nearer_to_the_motion() -> None:
    axis, motion = np.asarray([0.1, 0.1, 3.0, 0.1]), np.asarray([0.0, 3.0, -3.0, np.nan])
    assert along_axis(axis, motion) == pytest.approx([0.1, 0.1 - np.pi, 3.0, 0.1])


def test_angles_are_wrapped_to_half_a_turn_either_side() -> None:
    assert wrap(np.asarray([0.0, 4.0, -4.0, 7.0, np.pi])) == pytest.approx([0.0, 4 - 2 * np.pi, 2 * np.pi - 4, 7 - 2 * np.pi, -np.pi])
