"""Angles, and headings of futures that are positions only."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from twm_core.angles import wrap_tensor

STILL = 0.1
"""Speed in m/s below which a displacement says nothing about a direction."""


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
    return wrap_tensor(heading + direction.gather(1, last) - start)[:, 1:]
