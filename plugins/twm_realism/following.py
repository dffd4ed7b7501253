"""Who follows whom: space to the leader, the time gap, and the time to collision with the vehicle in front.

An agent follows another whose rear lies ahead of its front, which it would run into if it went straight on (their widths overlap), and
which heads at most 75 degrees elsewhere; at most 10 degrees where the overlap is less than 0.5 m. The nearest of them is the leader
(definition of the challenge, Montali et al. 2023; headings are compared on the circle here). With `g` the space between front and rear,
`v` the own speed and `u` the leader's,

    time to collision = g / (v - u) where v > u, at most 5 s, and 5 s else           time gap = g / v

Shapes: `N` situations, `M` agents of interest, `A` agents.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from twm_core.angles import wrap_tensor

LONGEST = 5.0
"""Seconds, the largest time to collision, also where there is none."""

_TURNED = math.radians(75.0)
_TURNED_AT_EDGE = math.radians(10.0)
_EDGE = 0.5
_AT_ONCE = 1 << 19


class Following(NamedTuple):
    """Space to the leader in metres (infinite where there is none) and its speed in m/s (0 there), `[N, M]` each."""

    space: Tensor
    leader_speed: Tensor

    def time_to_collision(self, speed: Tensor) -> Tensor:
        """Seconds `[N, M]`, from the own speed; NaN where a speed is."""
        closing = speed - self.leader_speed
        time = torch.where(closing > 0, self.space / closing, LONGEST).clamp(max=LONGEST)
        return torch.where(closing.isnan(), torch.nan, time)


def following(
    pose: Float[Tensor, "N A 3"], speed: Float[Tensor, "N A"], size: Float[Tensor, "A 2"], here: Bool[Tensor, "N A"], mine: Tensor
) -> Following:
    """The leader of each of the agents `mine` (indices `[M]`)."""
    block = max(1, _AT_ONCE // max(1, len(mine) * pose.shape[1]))
    parts = [_following(pose[i : i + block], speed[i : i + block], size, here[i : i + block], mine) for i in range(0, len(pose), block)]
    return Following(*(torch.cat(p) for p in zip(*parts, strict=True)))


def _following(pose: Tensor, speed: Tensor, size: Tensor, here: Tensor, mine: Tensor) -> Following:
    ego = pose[:, mine, None]  # [N, M, 1, 3]
    away = pose[:, None, :, :2] - ego[..., :2]
    cos, sin = ego[..., 2].cos(), ego[..., 2].sin()
    ahead = away[..., 0] * cos + away[..., 1] * sin
    aside = away[..., 1] * cos - away[..., 0] * sin
    turned = wrap_tensor(pose[:, None, :, 2] - ego[..., 2]).abs()
    across, along = turned.sin().abs(), turned.cos().abs()
    long, wide = size[:, 0] / 2, size[:, 1] / 2
    space = ahead - long[mine, None] - (along * long + across * wide)
    overlap = aside.abs() - wide[mine, None] - (across * long + along * wide)
    suits = here[:, None] & (space > 0) & (overlap < 0) & (turned <= _TURNED)
    suits &= (overlap < -_EDGE) | (turned <= _TURNED_AT_EDGE)
    nearest = space.masked_fill(~suits, torch.inf).min(dim=-1)
    theirs = speed.gather(1, nearest.indices)
    return Following(nearest.values, torch.where(nearest.values.isinf(), 0.0, theirs))
