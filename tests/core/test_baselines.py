"""Baselines against closed forms and numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twm_core.baselines import baselines_for, constant_turn_rate, constant_velocity, zero_velocity
from twm_core.data.dataset import Batch
from twm_core.data.schema import MOTION, traffic_observations

# Another order than the schema's, so that nothing can rely on positions.
FEATURES = ("yaw_rate", "vy", "vx", "heading", "y", "x")
SEEN = traffic_observations(features=FEATURES, dt=0.1, context=2, horizon=5, protocol="p")


def batch(*agents: dict[str, float], dt: float = 0.1) -> Batch:
    """Agents at step 1; step 0 and step 2 hold values that nobody may read."""
    state = torch.full((1, 3, len(agents), len(FEATURES)), 1e6)
    for a, values in enumerate(agents):
        state[0, 1, a] = torch.tensor([values.get(n, 0.0) for n in FEATURES])
    return {"agents.state": state, "dt": torch.tensor([dt])}


def test_zero_velocity_stays() -> None:
    out = zero_velocity(batch({"x": 3, "y": -4, "vx": 9}), SEEN, 1, 5)
    assert out.shape == (1, 1, 5, 1, 2)
    assert out.eq(torch.tensor([3.0, -4.0])).all()


def test_constant_velocity_goes_on_with_the_interval_of_its_batch() -> None:
    out = constant_velocity(batch({"x": 1, "vx": 2, "vy": -1}, {"y": 5}, dt=0.5), SEEN, 1, 4)
    torch.testing.assert_close(out[0, 0, :, 0], torch.tensor([[2.0, -0.5], [3.0, -1.0], [4.0, -1.5], [5.0, -2.0]]))
    assert out[0, 0, :, 1].eq(torch.tensor([0.0, 5.0])).all()


def test_a_quarter_circle_ends_where_the_circle_says() -> None:
    # Speed 10 m/s and pi/2 rad/s: radius 20/pi; from the origin along +x, after one second at (r, r).
    out = constant_turn_rate(batch({"vx": 10, "yaw_rate": math.pi / 2}), SEEN, 1, 10)
    r = 20 / math.pi
    torch.testing.assert_close(out[0, 0, -1, 0], torch.tensor([r, r]))
    centre = torch.tensor([0.0, r])
    torch.testing.assert_close((out[0, 0, :, 0] - centre).norm(dim=-1), torch.full((10,), r))


ANGLE, SPEED, TURN = st.floats(-3, 3), st.floats(0, 30), st.floats(-1.5, 1.5)


@given(ANGLE, SPEED, TURN)
def test_constant_turn_rate_equals_numerical_integration(angle: float, speed: float, turn: float) -> None:
    agent = {"x": 2.0, "y": -3.0, "vx": speed * math.cos(angle), "vy": speed * math.sin(angle), "yaw_rate": turn}
    out = constant_turn_rate(batch(agent), SEEN, 1, 20)[0, 0, :, 0].double().numpy()
    fine = 400
    h = 0.1 / fine
    # Midpoint rule on x' = v cos(angle + w t), y' = v sin(angle + w t).
    middle = angle + turn * (np.arange(20 * fine) + 0.5) * h
    path = np.stack([2 + np.cumsum(speed * np.cos(middle)) * h, -3 + np.cumsum(speed * np.sin(middle)) * h], axis=1)
    np.testing.assert_allclose(out, path[fine - 1 :: fine], atol=2e-4)


@given(ANGLE, SPEED, st.sampled_from([0.0, 1e-8, -1e-6, 1e-5]))
def test_without_turning_it_is_constant_velocity(angle: float, speed: float, turn: float) -> None:
    scene = batch({"x": 1.0, "vx": speed * math.cos(angle), "vy": speed * math.sin(angle), "yaw_rate": turn})
    torch.testing.assert_close(constant_turn_rate(scene, SEEN, 1, 10), constant_velocity(scene, SEEN, 1, 10), atol=1e-3, rtol=0)


def test_a_yaw_rate_of_zero_is_exactly_constant_velocity_and_finite() -> None:
    scene = batch({"vx": 3, "vy": 4})
    assert torch.equal(constant_turn_rate(scene, SEEN, 1, 5), constant_velocity(scene, SEEN, 1, 5))


@pytest.mark.parametrize("baseline", list(baselines_for(SEEN)))
def test_no_baseline_reads_anything_but_the_last_observed_step(baseline: str) -> None:
    scene = batch({"vx": 3, "yaw_rate": 0.1})
    other = {**scene, "agents.state": scene["agents.state"].clone()}
    other["agents.state"][:, [0, 2]] = torch.nan
    function = baselines_for(SEEN)[baseline]
    assert torch.equal(function(scene, SEEN, 1, 5), function(other, SEEN, 1, 5))


def test_constant_turn_needs_a_yaw_rate() -> None:
    assert set(baselines_for(SEEN)) == {"zero_velocity", "constant_velocity", "constant_turn_rate"}
    plain = traffic_observations(features=MOTION, dt=0.1, context=2, horizon=5, protocol="p")
    assert set(baselines_for(plain)) == {"zero_velocity", "constant_velocity"}
