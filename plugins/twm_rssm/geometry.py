"""Where agents are with respect to one another: what attention between agents adds to its scores and values.

Of each pair, in the frame of agent `i` (who listens), from the motion of both at the step before:

    g_ij = [symlog(R_i (p_j - p_i)), symlog(R_i (v_j - v_i)), cos, sin of heading_j - heading_i, 1 / (1 + |p_j - p_i| / 10 m), 1]
    h_ij = SiLU(W g_ij + b)       score_ij += U h_ij  (one for each head)       message_i += V sum_j weight_ij h_ij  (in each head)

and zero where either of them was not there. So it turns and shifts with the world, and with `U` and `V` zero, as they begin, it is plain
attention. In imagination the motion is the one that the decoder integrates (Deng et al., "TrafficBots", 2023, and others feed poses back
in this way); no gradient runs through it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.nn.symlog import symlog

PAIR = 8
"""Features of a pair."""

POSE = 6
"""Numbers of a pose: x, y, heading, vx, vy, and whether they are known."""
_NEAR = 10.0  # metres


class PoseAttention(NamedTuple):
    """What geometry adds to the scores, `[...,heads,A,A]`, and the pairs that messages are made of, `[...,A,A,W]`."""

    score: Tensor
    pair: Tensor

    def at(self, t: int) -> PoseAttention:
        """Of one step of `[T,...]`."""
        return PoseAttention(self.score[t], self.pair[t])


class Geometry(nn.Module):
    """See the module.

    Args:
        width: Width of the hidden layer.
        heads: Heads of the attention.
        value: Width of a head's values.
    """

    def __init__(self, width: int, *, heads: int, value: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(PAIR, width)
        self.score = nn.Linear(width, heads, bias=False)
        self.value = nn.Parameter(torch.zeros(heads, width, value))
        nn.init.zeros_(self.score.weight)

    def forward(self, motion: Tensor, here: Tensor) -> PoseAttention:
        """What geometry adds.

        Args:
            motion: x, y, heading, vx, vy, `[...,A,5]`, metres, radians and m/s in the world's frame.
            here: Who is there, bool `[...,A]`.
        """
        pair, known = pairs(motion, here)
        hidden = F.silu(self.hidden(pair)) * known[..., None]
        return PoseAttention(self.score(hidden).movedim(-1, -3), hidden)

    def pair_messages(self, weights: Tensor, pose_attention: PoseAttention) -> Tensor:
        """What is added to messages `[B,heads,A,V]` by attention `[B,heads,A,A]`."""
        # For each listener the heads' weights times its pairs: B A heads A @ B A A W.
        return ((weights.transpose(1, 2) @ pose_attention.pair.to(weights.dtype)).transpose(1, 2)) @ self.value.to(weights.dtype)


def pairs(motion: Tensor, here: Tensor) -> tuple[Tensor, Tensor]:
    """Features `[...,A,A,8]` of what agent `i` (second last but one axis) sees of agent `j`, and whether both are there `[...,A,A]`."""
    known = here.unsqueeze(-1) & here.unsqueeze(-2)
    motion = torch.where(here.unsqueeze(-1), motion, 0.0).float()
    x, y, heading, vx, vy = motion.unbind(-1)

    def difference(a: Tensor) -> Tensor:
        return a.unsqueeze(-2) - a.unsqueeze(-1)  # [..., i, j] = a_j - a_i

    cos, sin = heading.cos().unsqueeze(-1), heading.sin().unsqueeze(-1)

    def turned(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return a * cos + b * sin, b * cos - a * sin

    ahead, left = turned(difference(x), difference(y))
    faster, sideways = turned(difference(vx), difference(vy))
    turn = difference(heading)
    near = 1 / (1 + torch.hypot(ahead, left) / _NEAR)
    columns = [symlog(ahead), symlog(left), symlog(faster), symlog(sideways), turn.cos(), turn.sin(), near, torch.ones_like(near)]
    return torch.stack(columns, dim=-1), known
