"""Speeds and turns of motions that are known in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from twm_core.evaluation.headings import headings_of
from twm_realism.kinematics import both_sides, motion

DT = 0.1


def circle(steps: int, radius: float, speed: float) -> tuple[torch.Tensor, torch.Tensor]:
    angle = torch.arange(steps, dtype=torch.float64) * DT * speed / radius
    heading = (angle + math.pi / 2 + math.pi).remainder(2 * math.pi) - math.pi
    return radius * torch.stack([angle.cos(), angle.sin()], dim=-1)[:, None], heading[:, None]


def test_on_a_circle_speed_is_that_of_the_chord_and_the_turn_is_exact_across_the_seam_of_angles() -> None:
    # A chord over two steps of angle w dt each has length 2 r sin(w dt).
    position, heading = circle(100, 5.0, 8.0)
    found = motion(position, heading, DT)
    rate = 8.0 / 5.0
    assert torch.allclose(found.linear_speed[1:-1], torch.tensor(2 * 5.0 * math.sin(rate * DT) / (2 * DT), dtype=torch.float64))
    assert torch.allclose(found.angular_speed[1:-1], torch.tensor(rate, dtype=torch.float64))
    assert found.angular_acceleration[2:-2].abs().max() < 1e-9
    assert bool(found.linear_speed[[0, -1]].isnan().all())
    assert bool(found.linear_acceleration[[0, 1, -2, -1]].isnan().all())


def test_constant_acceleration_is_exact() -> None:
    time = torch.arange(20, dtype=torch.float64) * DT
    x = 10.0 * time + 0.5 * 2.0 * time**2
    found = motion(torch.stack([x, torch.zeros_like(x)], dim=-1)[:, None], torch.zeros(20, 1).double(), DT)
    assert found.linear_speed[1:-1, 0].tolist() == pytest.approx((10.0 + 2.0 * time[1:-1]).tolist())
    assert found.linear_acceleration[2:-2, 0].tolist() == pytest.approx([2.0] * 16)


def test_a_difference_counts_where_both_sides_are_there() -> None:
    here = torch.tensor([1, 1, 1, 0, 1, 1, 1], dtype=torch.bool)[:, None]
    assert both_sides(here)[:, 0].tolist() == [False, True, False, True, False, True, False]


def test_headings_of_positions_on_a_circle_turn_with_the_motion() -> None:
    position, heading = circle(40, 5.0, 8.0)
    found = headings_of(position[None, 2:], position[1], position[0], heading[1], DT)
    # A chord over one step runs half a step behind the tangent, at every step alike: the turn is exact.
    assert torch.allclose(((found[0] - heading[2:] + math.pi) % (2 * math.pi)) - math.pi, torch.zeros(38, 1).double(), atol=1e-9)


def test_who_stands_keeps_the_heading_and_who_departs_takes_the_direction_of_departure() -> None:
    still = torch.zeros(1, 2, dtype=torch.float64)
    future = torch.tensor([[0.0, 0.0], [0.001, 0.0], [0.001, 1.0], [0.001, 2.0], [0.001, 2.0]], dtype=torch.float64)[None, :, None]
    found = headings_of(future, still, still, torch.tensor([math.pi / 2], dtype=torch.float64), DT)
    assert found[0, :, 0].tolist() == pytest.approx([math.pi / 2] * 5)
