"""Predicted motion led along lanes: distances stay as predicted, places are those of the lane, and who is in no lane is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.scenario import Lane, RoadMap
from twm_realism.lane_keeping import RETURN, along_lanes

DT = 0.2
RADIUS = 80.0
_ANGLE = np.linspace(0, np.pi / 2, 60)
BEND = RoadMap((Lane("bend", np.stack([RADIUS * np.sin(_ANGLE), RADIUS * (1 - np.cos(_ANGLE))], axis=-1), 4.0),))
STRAIGHT = RoadMap(
    (
        Lane("a", np.asarray([[0.0, 0.0], [50.0, 0.0]]), 4.0, successors=("b",)),
        Lane("b", np.asarray([[50.0, 0.0], [100.0, 0.0]]), 4.0),
    )
)


def straight_on(now: np.ndarray, speed: float, steps: int, sideways: float = 0.0) -> np.ndarray:
    """Motion `[1,k,5]` along the heading, drifting to the left by `sideways` m/s."""
    t = DT * np.arange(1, steps + 1)
    cos, sin = np.cos(now[2]), np.sin(now[2])
    vx, vy = speed * cos - sideways * sin, speed * sin + sideways * cos
    return np.stack([now[0] + vx * t, now[1] + vy * t, np.full_like(t, now[2]), np.full_like(t, vx), np.full_like(t, vy)], axis=-1)[None]


@given(st.floats(1, 30), st.floats(-1.5, 1.5), st.floats(5, 30))
def test_in_a_bend_one_stays_in_the_lane_and_goes_as_far_as_predicted(speed: float, offset: float, begin: float) -> None:
    angle = begin / RADIUS
    now = np.asarray([(RADIUS - offset) * np.sin(angle), RADIUS - (RADIUS - offset) * np.cos(angle), angle])
    steps = int(min(15, 0.9 * (RADIUS * np.pi / 2 - begin) / (speed * DT)))
    led = along_lanes(straight_on(now, speed, steps), now[None], BEND, DT)[0]
    distance = RADIUS - np.hypot(led[:, 0], led[:, 1] - RADIUS)  # to the left of the centre line
    wanted = offset * np.exp(-speed * DT * np.arange(1, steps + 1) / RETURN)
    assert np.abs(distance - wanted).max() < 0.1
    # Along the centre line as far as predicted: the arc in the middle, not the way of the agent, which is beside it.
    arc = RADIUS * np.arctan2(led[:, 0], RADIUS - led[:, 1])
    np.testing.assert_allclose(arc - begin, speed * DT * np.arange(1, steps + 1), atol=0.15)
    assert np.abs(np.diff(led[:, 2])).max(initial=0) < 3 * speed * DT / RADIUS + 0.02
    np.testing.assert_allclose(np.hypot(led[1:, 3], led[1:, 4]) * DT, np.hypot(*np.diff(led[:, :2], axis=0).T), rtol=1e-6)


def test_a_drift_is_taken_out_and_the_next_lane_goes_on() -> None:
    now = np.asarray([40.0, 0.5, 0.0])
    led = along_lanes(straight_on(now, 20.0, 10, sideways=1.0), now[None], STRAIGHT, DT)[0]
    assert led[-1, 0] > 75
    assert (np.diff(led[:, 1]) < 0).all()
    assert (led[:, 1] > 0.3).all()
    np.testing.assert_allclose(led[:, 2], 0.0, atol=1e-9)


def test_beyond_the_map_it_goes_straight_on() -> None:
    now = np.asarray([90.0, 0.0, 0.0])
    led = along_lanes(straight_on(now, 20.0, 10), now[None], STRAIGHT, DT)[0]
    np.testing.assert_allclose(led[:, :2], straight_on(now, 20.0, 10)[0, :, :2], atol=1e-9)


@pytest.mark.parametrize(
    ("now", "why"), [((20.0, 30.0, 0.0), "beside the road"), ((20.0, 0.0, np.pi), "against its lane"), ((20.0, 0.0, 1.5), "across")]
)
def test_who_drives_along_no_lane_moves_as_predicted(now: tuple[float, float, float], why: str) -> None:
    place = np.asarray(now)
    motion = straight_on(place, 10.0, 5, sideways=0.3)
    np.testing.assert_array_equal(along_lanes(motion, place[None], STRAIGHT, DT), motion)


def test_agents_are_led_one_by_one_and_a_map_without_lanes_leads_nobody() -> None:
    one, other = np.asarray([10.0, 0.5, 0.0]), np.asarray([20.0, 30.0, 0.3])
    motion = np.concatenate([straight_on(one, 10.0, 5, sideways=0.3), straight_on(other, 5.0, 5)])
    both = along_lanes(motion, np.stack([one, other]), STRAIGHT, DT)
    np.testing.assert_array_equal(both[0], along_lanes(motion[:1], one[None], STRAIGHT, DT)[0])
    np.testing.assert_array_equal(both[1], motion[1])
    np.testing.assert_array_equal(along_lanes(motion, np.stack([one, other]), RoadMap(), DT), motion)
