"""Causal motion, against loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from twm_core.angles import wrap
from twm_core.data.motion import backward_difference, heading_of_motion, hold_last


@given(st.floats(-50, 50))
def test_wrapping_keeps_the_direction(angle: float) -> None:
    wrapped = float(wrap(np.array([angle]))[0])
    assert -np.pi <= wrapped < np.pi
    np.testing.assert_allclose([np.cos(wrapped), np.sin(wrapped)], [np.cos(angle), np.sin(angle)], atol=1e-9)


def test_differences_look_back_and_stay_inside_their_track() -> None:
    starts = np.array([True, False, False, True, False])
    got = backward_difference(np.array([1.0, 3.0, 6.0, 50.0, 49.0]), starts, np.array([9.0, 0.5, 1.0, 9.0, 0.5]))
    np.testing.assert_allclose(got, [0, 4, 3, 0, -2])


def test_an_angle_turns_the_short_way() -> None:
    got = backward_difference(np.array([3.1, -3.1]), np.array([True, False]), 0.1, angle=True)
    np.testing.assert_allclose(got, [0, (2 * np.pi - 6.2) / 0.1])


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 0.01, -0.04, 0.06, -1.0]), st.sampled_from([0.0, 0.03, 2.0])),
        min_size=1,
        max_size=20,
    )
)
def test_headings_are_those_of_a_loop(rows: list[tuple[bool, float, float]]) -> None:
    starts = np.array([i == 0 or s for i, (s, _, _) in enumerate(rows)])
    vx, vy = (np.array([r[i] for r in rows], dtype=np.float32) for i in (1, 2))
    heading, known = heading_of_motion(vx, vy, starts, 0.05)
    last, moved = 0.0, False
    for i in range(len(rows)):
        if starts[i]:
            last, moved = 0.0, False
        elif np.hypot(vx[i], vy[i]) >= np.float32(0.05):
            last, moved = float(np.arctan2(vy[i], vx[i])), True
        assert (heading[i], known[i]) == (last, moved)


def test_values_are_held_within_their_track_only() -> None:
    nan = np.nan
    starts = np.array([True, False, False, False, True, False])
    held = hold_last(np.array([nan, 2.0, nan, nan, nan, 7.0]), starts)
    np.testing.assert_array_equal(held, [nan, 2, 2, 2, nan, 7])
