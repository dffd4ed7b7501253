"""Constant velocity in drawn directions: the speed is kept, angles have the deviation that is asked for, the mean is the closed form."""

from __future__ import annotations

import math

import pytest
import torch
from baseline_scenes import forecast, forecaster, scene, spec

OBS_SPEC = spec()
MANY = 20_000


def batch():
    return scene(OBS_SPEC, [None, None, {"x": 1, "y": 2, "heading": math.pi / 2, "vy": 3}])


@pytest.mark.parametrize("straight", [True, False])
def test_each_future_turns_the_last_displacement_by_one_angle(straight: bool) -> None:
    out = forecast("sampled-constant-velocity", OBS_SPEC, batch(), samples=MANY, straight=straight).states[0, :, :, 0].double()
    moved = out[..., :2] - torch.tensor([1.0, 2.0])
    # 1.5 m further from the start at every step, whatever the direction.
    torch.testing.assert_close(moved.norm(dim=-1), torch.tensor([1.5, 3.0, 4.5, 6.0]).double().expand(MANY, -1), atol=1e-5, rtol=0)
    angle = torch.atan2(moved[..., 1], moved[..., 0]) - math.pi / 2
    torch.testing.assert_close(angle[:, 0], angle[:, -1], atol=1e-5, rtol=0)
    torch.testing.assert_close(out[..., 2] - math.pi / 2, angle, atol=1e-5, rtol=0)
    # Standard error of a standard deviation: sigma / sqrt(2 S); four of them are 0.5 degrees.
    drawn = angle[int(straight) :, 0]
    assert abs(math.degrees(float(drawn.std())) - 25) < 0.5
    assert bool((angle[0].abs() < 1e-6).all()) is straight


@pytest.mark.parametrize(("straight", "samples"), [(False, 5), (True, 5), (True, 1)])
def test_the_expected_position_is_that_of_many_futures(straight: bool, samples: int) -> None:
    # E[cos a] = exp(-sigma^2 / 2) for a normal a; a straight one among S weighs 1 / S.
    drawn = math.exp(-(math.radians(25) ** 2) / 2)
    wanted = ((samples - 1) * drawn + 1) / samples if straight else drawn
    who = forecaster("sampled-constant-velocity", OBS_SPEC, straight=straight)
    out = forecast(who, OBS_SPEC, batch(), samples=samples)
    torch.testing.assert_close(out.mean()[0, :, 0, 1], 2 + wanted * torch.tensor([1.5, 3.0, 4.5, 6.0]))
    many = torch.cat([forecast(who, OBS_SPEC, batch(), samples=samples, seed=s).states for s in range(2000)], 1)
    # The cosine of a has deviation 0.12, so 6 m of the mean of 2000 or more draws 0.016; four of them.
    assert abs(float(many[0, :, -1, 0, 1].mean() - (2 + 6 * wanted))) < 0.065


def test_agents_are_turned_independently() -> None:
    agent = [None, None, {"vx": 1.0}]
    out = forecast("sampled-constant-velocity", OBS_SPEC, scene(OBS_SPEC, agent, agent), samples=MANY).states[0, 1:, 0, :, 1]
    assert abs(float(torch.corrcoef(out.T)[0, 1])) < 4 / math.sqrt(MANY)
