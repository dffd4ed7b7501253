"""Baselines that keep something constant, and the line of least squares, against closed forms and numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from baseline_scenes import FEATURES, forecast, forecaster, installed, scene, spec
from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.schema import MOTION
from twm_core.errors import Mismatch
from twm_core.testing.batches import observation_specs

OBS_SPEC = spec()
ANGLE, SPEED, TURN = st.floats(-3, 3), st.floats(0, 30), st.floats(-1.5, 1.5)


def last(**values: float):
    """An agent of which only the last observed step tells something."""
    return [{"x": 1e6, "vx": 1e6}, {"x": -1e6}, values]


def test_zero_velocity_stays_with_its_heading_and_without_speed() -> None:
    out = forecast("zero-velocity", OBS_SPEC, scene(OBS_SPEC, last(x=3, y=-4, heading=1, vx=9)))
    assert out.states.shape == (1, 1, 4, 1, 5)
    assert out.states.eq(torch.tensor([3.0, -4.0, 1.0, 0.0, 0.0])).all()


def test_constant_velocity_goes_on_with_the_interval_of_its_batch() -> None:
    # 0.25 s a step whatever the spec says: (1, 0) + (2, -1) x 0.25 h.
    out = forecast("constant-velocity", OBS_SPEC, scene(OBS_SPEC, last(x=1, vx=2, vy=-1), last(y=5), dt=0.25)).states[0, 0]
    torch.testing.assert_close(out[:, 0, :2], torch.tensor([[1.5, -0.25], [2.0, -0.5], [2.5, -0.75], [3.0, -1.0]]))
    assert out[:, 1, :2].eq(torch.tensor([0.0, 5.0])).all()


def test_the_mean_velocity_leaves_out_steps_at_which_none_is_known() -> None:
    # Velocities 7 (fresh, not known), 2, 4: mean 3. After one step of 0.5 s: 10 + 1.5.
    agent = [{"vx": 7, "fresh": 1}, {"vx": 2}, {"x": 10, "vx": 4}]
    out = forecast("constant-velocity", OBS_SPEC, scene(OBS_SPEC, agent), estimate="mean").states[0, 0, 0, 0]
    torch.testing.assert_close(out[[0, 3]], torch.tensor([11.5, 3.0]))


def test_an_agent_whose_velocity_was_never_known_stays() -> None:
    out = forecast("constant-velocity", OBS_SPEC, scene(OBS_SPEC, [None, None, {"x": 2, "vx": 5, "fresh": 1}]), estimate="mean")
    assert out.states[..., 0].eq(2).all()


def test_a_quarter_circle_ends_where_the_circle_says() -> None:
    # 10 m/s and pi/2 rad/s: radius 20 / pi; from the origin along +x, after 1 s at (r, r), driving along +y.
    out = forecast("constant-turn-rate", OBS_SPEC, scene(OBS_SPEC, last(vx=10, yaw_rate=math.pi / 2), dt=0.1), steps=10).states[0, 0, :, 0]
    r = 20 / math.pi
    torch.testing.assert_close(out[-1], torch.tensor([r, r, math.pi / 2, 0.0, 10.0]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close((out[:, :2] - torch.tensor([0.0, r])).norm(dim=-1), torch.full((10,), r))


@given(ANGLE, SPEED, TURN)
def test_constant_turn_rate_equals_numerical_integration(angle: float, speed: float, turn: float) -> None:
    agent = last(x=2, y=-3, heading=angle, vx=speed * math.cos(angle), vy=speed * math.sin(angle), yaw_rate=turn)
    out = forecast("constant-turn-rate", OBS_SPEC, scene(OBS_SPEC, agent, dt=0.1), steps=20).states[0, 0, :, 0].double().numpy()
    fine = 400
    h = 0.1 / fine
    # Midpoint rule on x' = v cos(angle + w t), y' = v sin(angle + w t).
    middle = angle + turn * (np.arange(20 * fine) + 0.5) * h
    path = np.stack([2 + np.cumsum(speed * np.cos(middle)) * h, -3 + np.cumsum(speed * np.sin(middle)) * h], axis=1)
    np.testing.assert_allclose(out[:, :2], path[fine - 1 :: fine], atol=2e-4)


def test_a_yaw_rate_of_zero_is_exactly_constant_velocity() -> None:
    batch = scene(OBS_SPEC, last(vx=3, vy=4, x=0.1))
    assert torch.equal(forecast("constant-turn-rate", OBS_SPEC, batch).states, forecast("constant-velocity", OBS_SPEC, batch).states)


def test_the_line_of_least_squares_is_that_of_numpy_over_the_steps_that_are_there() -> None:
    obs_spec = spec(context=6)
    random = np.random.default_rng(0)
    xy = random.normal(size=(6, 2))
    agent = [{"x": x, "y": y} if t != 2 else None for t, (x, y) in enumerate(xy)]
    out = forecast("least-squares", obs_spec, scene(obs_spec, agent), steps=3).states[0, 0, :, 0].double().numpy()
    there = np.asarray([0, 1, 3, 4, 5])
    time = 0.5 * np.arange(6)
    for axis in range(2):
        slope, intercept = np.polyfit(time[there], xy[there, axis], 1)
        np.testing.assert_allclose(out[:, axis], intercept + slope * 0.5 * np.arange(6, 9), atol=1e-5)
        np.testing.assert_allclose(out[:, 3 + axis], slope, atol=1e-5)


def test_the_line_of_two_points_goes_through_both_and_that_of_one_stays() -> None:
    # 4 m in 1 s (two steps of 0.5 s, the one between is missing), so 2 m at each step.
    out = forecast("least-squares", OBS_SPEC, scene(OBS_SPEC, [{"x": 0}, None, {"x": 4}], [None, None, {"x": 9, "vx": 3}])).states[0, 0]
    torch.testing.assert_close(out[:, 0, 0], torch.tensor([6.0, 8.0, 10.0, 12.0]))
    assert out[:, 1, 0].eq(9).all()


@pytest.mark.parametrize("name", ["constant-velocity", "constant-turn-rate"])
def test_who_is_hidden_goes_on_from_where_it_was_last_seen(name: str) -> None:
    # Last seen one step (0.5 s) ago at x = 1 with 2 m/s: at x = 2 by now, at 3 one step later.
    out = forecast(name, OBS_SPEC, scene(OBS_SPEC, [{"x": 0}, {"x": 1, "vx": 2}, None])).states[0, 0, :, 0]
    torch.testing.assert_close(out[:2, 0], torch.tensor([3.0, 4.0]))


@pytest.mark.parametrize("name", ["zero-velocity", "constant-velocity", "constant-turn-rate", "least-squares", "sampled-constant-velocity"])
def test_a_slot_in_which_nobody_was_ever_seen_is_a_finite_nothing(name: str) -> None:
    batch = scene(OBS_SPEC, [None] * 3, last(x=1))
    batch["agents.state"][:, :, 0] = torch.nan
    assert forecast(name, OBS_SPEC, batch).states[..., 0, :2].eq(0).all()


def test_what_was_seen_before_an_episode_began_is_not_of_it() -> None:
    batch = scene(OBS_SPEC, [{"x": 5, "vx": 1}, {"x": 6, "vx": 1}, {"x": 0}], [{"x": 8}, None, None])
    batch["is_first"][:, 2] = True
    out = forecast("least-squares", OBS_SPEC, batch).states[0, 0]
    assert out[:, 0, 0].eq(0).all()
    assert out[:, 1, 0].eq(0).all()


def test_what_a_baseline_needs_is_refused_by_name() -> None:
    plain = spec(MOTION)
    for name in ("constant-turn-rate", "idm"):
        config = installed().find("baseline", name).load_config()()
        assert isinstance(config.accepts(plain), Mismatch)
        assert config.accepts(OBS_SPEC) is None
    for name in ("zero-velocity", "constant-velocity", "sampled-constant-velocity", "least-squares", "kalman"):
        config = installed().find("baseline", name).load_config()()
        assert config.accepts(plain) is None
        assert "agents" in str(config.accepts(observation_specs()["sensors without agents"]))


def test_the_order_of_features_in_the_batch_does_not_matter() -> None:
    other = spec(tuple(reversed(FEATURES)))
    agent = last(x=2, y=1, heading=0.3, vx=4, vy=-1, yaw_rate=0.2)
    for name in ("constant-velocity", "constant-turn-rate", "least-squares"):
        assert torch.equal(forecast(name, OBS_SPEC, scene(OBS_SPEC, agent)).states, forecast(name, other, scene(other, agent)).states)
    assert forecaster("zero-velocity", OBS_SPEC).gives.states == MOTION
