"""Speeds and accelerations of tracks by central differences, and headings of futures that have none.

    speed            |p[t+1] - p[t-1]| / 2 dt           acceleration            (speed[t+1] - speed[t-1]) / 2 dt
    angular speed    wrap(h[t+1] - h[t-1]) / 2 dt       angular acceleration    (w[t+1] - w[t-1]) / 2 dt

as the challenge has them (Montali et al. 2023). A central difference looks one step ahead. As a model's input that would be a leak; here it
measures trajectories that are complete on both sides, log and futures alike, and nothing of it reaches a forecaster. Unlike in the
challenge, the steps before the first predicted one may be observed, so that a jump from the last observation to the first prediction shows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

STILL = 0.1
"""Speed in m/s below which a displacement says nothing about a direction."""


class Motion(NamedTuple):
    """m/s, m/s², rad/s and rad/s², `[..., T, A]` each; NaN at the ends, where a difference lacks a side."""

    linear_speed: Tensor
    linear_acceleration: Tensor
    angular_speed: Tensor
    angular_acceleration: Tensor


def wrap(angle: Tensor) -> Tensor:
    """The same angle in [-pi, pi)."""
    return (angle + torch.pi).remainder(2 * torch.pi) - torch.pi


def motion(position: Float[Tensor, "*R T A 2"], heading: Float[Tensor, "*R T A"], dt: float) -> Motion:
    """Speeds and accelerations of tracks."""
    speed = _padded((position[..., 2:, :, :] - position[..., :-2, :, :]).norm(dim=-1) / (2 * dt))
    turn = _padded(wrap(heading[..., 2:, :] - heading[..., :-2, :]) / (2 * dt))
    rates = [_padded((v[..., 2:, :] - v[..., :-2, :]) / (2 * dt)) for v in (speed, turn)]
    return Motion(speed, rates[0], turn, rates[1])


def _padded(inner: Tensor) -> Tensor:
    side = torch.full_like(inner[..., :1, :], torch.nan)
    return torch.cat([side, inner, side], dim=-2)


def both_sides(here: Bool[Tensor, "T A"]) -> Bool[Tensor, "T A"]:
    """Where an agent is there at the step before and at the step after; applied twice, for accelerations."""
    known = torch.zeros_like(here)
    known[1:-1] = here[2:] & here[:-2]
    return known


def headings_of(
    position: Float[Tensor, "S H A 2"], now: Float[Tensor, "A 2"], before: Float[Tensor, "A 2"], heading: Float[Tensor, " A"], dt: float
) -> Float[Tensor, "S H A"]:
    """Headings of futures that are positions only: the observed heading, turned by as much as the direction of motion has turned.

    Steps slower than `STILL` keep the heading. Who stood still when last seen is turned to the direction in which it departs.

    Args:
        position: The futures.
        now: Last observed position.
        before: Position one step earlier.
        heading: Last observed heading.
        dt: Seconds of a step.
    """
    track = torch.cat([now.expand(len(position), 1, -1, -1), position], dim=1)
    track = torch.cat([before.expand(len(position), 1, -1, -1), track], dim=1)
    step = track[:, 1:] - track[:, :-1]  # [S, 1 + H, A, 2]
    moves = step.norm(dim=-1) > STILL * dt
    direction = torch.atan2(step[..., 1], step[..., 0])
    start = torch.where(moves[:, :1], direction[:, :1], heading)
    direction = torch.cat([start, direction[:, 1:]], dim=1)
    number = torch.arange(direction.shape[1], device=direction.device)[:, None]
    last = torch.where(moves, number, 0).cummax(dim=1).values
    return wrap(heading + direction.gather(1, last) - start)[:, 1:]
