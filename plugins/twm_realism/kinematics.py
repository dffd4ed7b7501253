"""Speeds and accelerations of tracks by central differences.

    speed            |p[t+1] - p[t-1]| / 2 dt           acceleration            (speed[t+1] - speed[t-1]) / 2 dt
    angular speed    wrap_tensor(h[t+1] - h[t-1]) / 2 dt       angular acceleration    (w[t+1] - w[t-1]) / 2 dt

as the challenge has them (Montali et al. 2023). A central difference looks one step ahead. As a model's input that would be a leak; here it
measures trajectories that are complete on both sides, log and futures alike, and nothing of it reaches a forecaster. Unlike in the
challenge, the steps before the first predicted one may be observed, so that a jump from the last observation to the first prediction shows.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from twm_core.angles import wrap_tensor


class Motion(NamedTuple):
    """m/s, m/s², rad/s and rad/s², `[..., T, A]` each; NaN at the ends, where a difference lacks a side."""

    linear_speed: Tensor
    linear_acceleration: Tensor
    angular_speed: Tensor
    angular_acceleration: Tensor


def motion(position: Float[Tensor, "*R T A 2"], heading: Float[Tensor, "*R T A"], dt: float) -> Motion:
    """Speeds and accelerations of tracks."""
    speed = _padded((position[..., 2:, :, :] - position[..., :-2, :, :]).norm(dim=-1) / (2 * dt))
    turn = _padded(wrap_tensor(heading[..., 2:, :] - heading[..., :-2, :]) / (2 * dt))
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
