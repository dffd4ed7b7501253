"""Kinematics of the agent decoder against plain Python, and its distribution against torch.distributions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.distributions as td
from beartype import beartype
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import jaxtyped
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_decoders import kinematics
from twm_decoders.kinematics import RESIDUALS, turn
from twm_decoders.motion import Motion

# With the shapes of their annotations checked at every call.
CHECKED = jaxtyped(typechecker=beartype)
integrate = CHECKED(kinematics.integrate)
residual_between = CHECKED(kinematics.residual_between)
accelerating = CHECKED(kinematics.accelerating)
speeding = CHECKED(kinematics.speeding)
turning = CHECKED(kinematics.turning)

SEEDS = st.integers(0, 10**6)
ANGLES = st.floats(-10, 10)


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain(start: list[float], residuals: list[list[float]], dt: float) -> list[list[float]]:
    """p' = p + v dt + R(h) dp, h' = h + dh, v' = v + R(h) dv; one agent, one step at a time."""
    x, y, h, vx, vy = start
    states = []
    for dx, dy, dh, dvx, dvy in residuals:
        c, s = math.cos(h), math.sin(h)
        x, y = x + vx * dt + c * dx - s * dy, y + vy * dt + s * dx + c * dy
        vx, vy = vx + c * dvx - s * dvy, vy + s * dvx + c * dvy
        h += dh
        states.append([x, y, math.atan2(math.sin(h), math.cos(h)), vx, vy])
    return states


@given(SEEDS, st.integers(1, 8), st.sampled_from([0.04, 0.1, 0.5]))
def test_integrate_equals_a_plain_loop(seed: int, steps: int, dt: float) -> None:
    motion, residual = draw(2, 3, 5, seed=seed, scale=4), draw(2, steps, 3, 5, seed=seed + 1)
    out = integrate(motion, residual, torch.full((2,), dt, dtype=torch.float64))
    for b in range(2):
        for a in range(3):
            expected = plain(motion[b, a].tolist(), residual[b, :, a].tolist(), dt)
            np.testing.assert_allclose(out[b, :, a].numpy(), expected, atol=1e-9)


def test_each_scene_has_its_own_interval() -> None:
    motion = torch.zeros(2, 1, 5)
    motion[..., 3] = 1
    out = integrate(motion, torch.zeros(2, 4, 1, 5), torch.tensor([0.1, 0.5]))
    torch.testing.assert_close(out[:, :, 0, 0], torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 1.0, 1.5, 2.0]]))


@given(SEEDS)
def test_the_residual_between_two_states_leads_from_one_to_the_other(seed: int) -> None:
    before, after = draw(2, 3, 5, seed=seed, scale=3), draw(2, 3, 5, seed=seed + 1, scale=3)
    dt = torch.tensor([0.1, 0.4], dtype=torch.float64)
    reached = integrate(before, residual_between(before, after, dt)[:, None], dt)[:, 0]
    keep = [0, 1, 3, 4]
    torch.testing.assert_close(reached[..., keep], after[..., keep])
    torch.testing.assert_close((reached - after)[..., 2].cos(), torch.ones(2, 3, dtype=torch.float64))


@given(SEEDS)
def test_integrating_inverts_to_the_same_residuals(seed: int) -> None:
    motion, residual = draw(1, 2, 5, seed=seed), draw(1, 5, 2, 5, seed=seed + 1, scale=0.5)
    dt = torch.tensor([0.2], dtype=torch.float64)
    states = torch.cat([motion[:, None], integrate(motion, residual, dt)], dim=1)
    again = residual_between(states[:, :-1], states[:, 1:], dt[:, None].expand(1, 5))
    torch.testing.assert_close(again, residual)


@given(SEEDS, st.integers(1, 6))
def test_without_coasting_positions_follow_the_displacements_alone(seed: int, steps: int) -> None:
    motion, change = draw(1, 2, 5, seed=seed, scale=4), draw(1, steps, 2, 5, seed=seed + 1)
    dt = torch.tensor([0.3], dtype=torch.float64)
    out = integrate(motion, change, dt, coasting=False)
    for a in range(2):
        # Without v dt a step of any length is a step of none.
        np.testing.assert_allclose(out[0, :, a].numpy(), plain(motion[0, a].tolist(), change[0, :, a].tolist(), 0.0), atol=1e-9)
    states = torch.cat([motion[:, None], out], dim=1)
    again = residual_between(states[:, :-1], states[:, 1:], dt[:, None].expand(1, steps), coasting=False)
    torch.testing.assert_close(again[..., [0, 1, 3, 4]], change[..., [0, 1, 3, 4]])


@given(SEEDS, ANGLES)
def test_shifting_by_a_difference_leads_to_the_other_state(seed: int, heading: float) -> None:
    one, other = draw(4, 5, seed=seed), draw(4, 5, seed=seed + 1)
    by = torch.full((4,), heading, dtype=torch.float64)
    reached = kinematics.shifted(one, kinematics.difference(other, one, by), by)
    torch.testing.assert_close(reached[..., [0, 1, 3, 4]], other[..., [0, 1, 3, 4]])
    torch.testing.assert_close((reached - other)[..., 2].cos(), torch.ones(4, dtype=torch.float64))


def world(motion: Tensor, angle: float, dx: float, dy: float) -> Tensor:
    """The same motion in a world that was turned, then shifted."""
    x, y, h, vx, vy = motion.unbind(-1)
    by = torch.tensor(angle, dtype=motion.dtype)
    x, y = turn(x, y, by)
    vx, vy = turn(vx, vy, by)
    return torch.stack([x + dx, y + dy, wrap_tensor(h + by), vx, vy], dim=-1)


@given(SEEDS, ANGLES, st.floats(-100, 100), st.floats(-100, 100))
def test_motion_turns_and_shifts_with_the_world(seed: int, angle: float, dx: float, dy: float) -> None:
    motion, residual = draw(1, 2, 5, seed=seed), draw(1, 4, 2, 5, seed=seed + 1, scale=0.3)
    dt = torch.tensor([0.1], dtype=torch.float64)
    moved = integrate(world(motion, angle, dx, dy), residual, dt)
    expected = world(integrate(motion, residual, dt), angle, dx, dy)
    torch.testing.assert_close(moved[..., [0, 1, 3, 4]], expected[..., [0, 1, 3, 4]])
    torch.testing.assert_close((moved - expected)[..., 2].cos(), torch.ones(1, 4, 2, dtype=torch.float64))


@given(st.floats(-1.5, 1.5), st.floats(0, 25), ANGLES)
def test_turning_is_an_exact_constant_turn_in_velocity_and_heading(rate: float, speed: float, heading: float) -> None:
    dt, steps, slip = 0.1, 12, 0.2
    trajectory = heading + slip  # a velocity that does not point along the heading turns with it all the same
    motion = torch.tensor([[[5.0, 6.0, heading, speed * math.cos(trajectory), speed * math.sin(trajectory)]]], dtype=torch.float64)
    own = torch.tensor([[[speed * math.cos(slip), speed * math.sin(slip)]]], dtype=torch.float64)
    residual = turning(own, torch.tensor([[rate]], dtype=torch.float64), torch.tensor([[dt]], dtype=torch.float64))
    out = integrate(motion, residual[:, None].expand(1, steps, 1, 5), torch.tensor([dt], dtype=torch.float64))[0, :, 0].numpy()
    t = dt * np.arange(1, steps + 1)
    np.testing.assert_allclose(out[:, 3], speed * np.cos(trajectory + rate * t), atol=1e-9)
    np.testing.assert_allclose(out[:, 4], speed * np.sin(trajectory + rate * t), atol=1e-9)
    np.testing.assert_allclose(np.cos(out[:, 2] - heading - rate * t), 1, atol=1e-9)
    # Positions follow the trapezoidal rule, whose error over a time T is at most T dt^2 / 12 max |v''| = T dt^2 speed rate^2 / 12.
    if abs(rate) > 1e-3:
        x = 5 + speed / rate * (np.sin(trajectory + rate * t) - math.sin(trajectory))
        y = 6 - speed / rate * (np.cos(trajectory + rate * t) - math.cos(trajectory))
        assert (np.hypot(out[:, 0] - x, out[:, 1] - y) <= 2 * t * dt**2 * speed * rate**2 / 12 + 1e-9).all()


@given(st.floats(-5, 5), st.floats(0, 25), ANGLES)
def test_speeding_is_an_exact_constant_acceleration(acceleration: float, speed: float, heading: float) -> None:
    dt, steps = 0.2, 7
    motion = torch.tensor([[[0.0, 0.0, heading, speed * math.cos(heading), speed * math.sin(heading)]]], dtype=torch.float64)
    residual = speeding(torch.tensor([[acceleration]], dtype=torch.float64), torch.tensor([[dt]], dtype=torch.float64))
    out = integrate(motion, residual[:, None].expand(1, steps, 1, 5), torch.tensor([dt], dtype=torch.float64))[0, :, 0].numpy()
    t = dt * np.arange(1, steps + 1)
    way = speed * t + acceleration * t**2 / 2
    np.testing.assert_allclose(out[:, 0], way * math.cos(heading), atol=1e-9)
    np.testing.assert_allclose(out[:, 1], way * math.sin(heading), atol=1e-9)
    np.testing.assert_allclose(out[:, 3], (speed + acceleration * t) * math.cos(heading), atol=1e-9)


@given(SEEDS, ANGLES)
def test_accelerating_along_and_across_is_an_exact_constant_acceleration(seed: int, heading: float) -> None:
    steps, dt = 6, 0.2
    own = draw(1, 1, 2, seed=seed)
    motion = torch.tensor([[[1.0, 2.0, heading, 3.0, -4.0]]], dtype=torch.float64)
    residual = accelerating(own, torch.tensor([[dt]], dtype=torch.float64))
    out = integrate(motion, residual[:, None].expand(1, steps, 1, 5), torch.tensor([dt], dtype=torch.float64))[0, :, 0].numpy()
    t = dt * np.arange(1, steps + 1)
    along, across = own[0, 0].tolist()
    ax = along * math.cos(heading) - across * math.sin(heading)
    ay = along * math.sin(heading) + across * math.cos(heading)
    np.testing.assert_allclose(out[:, 0], 1 + 3 * t + ax * t**2 / 2, atol=1e-9)
    np.testing.assert_allclose(out[:, 1], 2 - 4 * t + ay * t**2 / 2, atol=1e-9)
    np.testing.assert_allclose(out[:, 3], 3 + ax * t, atol=1e-9)
    np.testing.assert_allclose(out[:, 4], -4 + ay * t, atol=1e-9)


@given(st.floats(-50, 50))
def test_wrapping_keeps_the_direction_and_stays_within_half_a_turn(angle: float) -> None:
    wrapped = float(wrap_tensor(torch.tensor(angle, dtype=torch.float64)))
    assert -math.pi <= wrapped <= math.pi
    assert math.cos(wrapped - angle) == pytest.approx(1)


def motion_and_reference(seed: int) -> tuple[Motion, td.Normal]:
    """A distribution whose frame is the world (heading 0), where it is a product of Gaussians."""
    loc, scale = draw(4, 3, 5, seed=seed), draw(5, seed=seed + 1).exp()
    return Motion(loc, torch.zeros(4, 3, dtype=torch.float64), scale), td.Normal(loc, scale.expand_as(loc))


@given(SEEDS)
def test_in_its_own_frame_the_log_probability_is_that_of_gaussians(seed: int) -> None:
    ours, theirs = motion_and_reference(seed)
    value = ours.mean + draw(4, 3, 5, seed=seed + 2, scale=0.4)
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value).sum(-1))
    torch.testing.assert_close(ours.error(value), (value - theirs.loc) / theirs.scale)


@given(SEEDS, ANGLES, st.floats(-100, 100))
def test_errors_and_densities_do_not_depend_on_the_frame_of_the_world(seed: int, angle: float, shift: float) -> None:
    ours, _ = motion_and_reference(seed)
    value = ours.mean + draw(4, 3, 5, seed=seed + 2, scale=0.4)
    moved = Motion(world(ours.loc, angle, shift, -shift), ours.heading + angle, ours.scale)
    other = world(value, angle, shift, -shift)
    torch.testing.assert_close(moved.error(other), ours.error(value))
    torch.testing.assert_close(moved.log_prob(other), ours.log_prob(value))


def test_a_heading_error_goes_the_short_way_round() -> None:
    loc = torch.tensor([0.0, 0, math.pi - 0.1, 0, 0])
    value = torch.tensor([0.0, 0, -math.pi + 0.1, 0, 0])
    error = Motion(loc, torch.tensor(0.0), torch.full((5,), 0.5)).error(value)
    torch.testing.assert_close(error[2], torch.tensor(0.2 / 0.5))


def test_draws_spread_along_and_across_the_heading_as_the_scale_says() -> None:
    n, heading = 20_000, torch.tensor(0.7)
    scale = torch.tensor([3.0, 0.2, 0.05, 1.0, 0.1])
    loc = torch.tensor([10.0, -5.0, 0.3, 2.0, 1.0])
    dist = Motion(loc.expand(n, 5), heading.expand(n), scale)
    draws = dist.sample(torch.Generator().manual_seed(0))
    error = dist.error(draws)
    assert (error.mean(0).abs() < 4 / math.sqrt(n)).all()
    torch.testing.assert_close(error.T.cov(), torch.eye(5), atol=0.04, rtol=0)
    # The variance along world x of errors with deviations a along and b across a heading h is (a cos h)^2 + (b sin h)^2.
    assert float(draws[:, 0].std()) == pytest.approx(math.hypot(3 * math.cos(0.7), 0.2 * math.sin(0.7)), rel=0.03)


def test_mapping_keeps_every_tensor_in_step() -> None:
    ours, _ = motion_and_reference(0)
    value = draw(4, 3, 5, seed=9)
    torch.testing.assert_close(ours.map(lambda x: x[1:3]).log_prob(value[1:3]), ours.log_prob(value)[1:3])
    assert torch.equal(ours.mode, ours.mean)
    assert ours.mean.shape[-1] == RESIDUALS
