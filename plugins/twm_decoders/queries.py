"""How the agents of a pooled latent ask for their states: with what is known of their own motion, `[...,A,5] -> [...,A,7]`.

Place and direction are relative to the mean position and direction of the scene. Turning and shifting the world changes no question, and
permuting the agents permutes the questions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.nn.normalizer import Normalizer
from twm_decoders.kinematics import turn

QUESTION = 7


class MotionQuery(Normalizer):
    """Questions `[...,A,7]`, normalized by the training data: place, direction and velocity in the scene."""

    def __init__(self) -> None:
        super().__init__(QUESTION)

    def ask(self, motion: Tensor, exists: Tensor) -> Tensor:
        """The normalized questions of agents with this motion `[...,A,5]`, 0 before normalizing where an agent does not exist."""
        return self(question(motion, exists)).clamp(-10, 10)

    def learn(self, motion: Tensor, exists: Tensor) -> None:
        """Update the statistics with motions `[B,T,A,5]` where they exist."""
        self.update(question(motion, exists)[exists])


def question(motion: Tensor, exists: Tensor) -> Tensor:
    """What each agent asks with, `[...,A,7]`, relative to the mean position and direction of the scene."""
    x, y, h, vx, vy = torch.where(exists[..., None], motion, 0).unbind(-1)
    many = exists.sum(dim=-1, keepdim=True).clamp_min(1)

    def mean(value: Tensor) -> Tensor:
        return (value * exists).sum(dim=-1, keepdim=True) / many

    # With headings that cancel exactly there is no direction; atan2(0, 0) is 0 and has no gradient to give.
    direction = torch.atan2(mean(h.sin()), mean(h.cos()).where(exists.any(dim=-1, keepdim=True), torch.ones_like(many))).detach()
    px, py = turn(x - mean(x), y - mean(y), -direction)
    ux, uy = turn(vx, vy, -h)
    asked = torch.stack([px, py, (h - direction).sin(), (h - direction).cos(), ux, uy, torch.hypot(ux, uy + 1e-6)], dim=-1)
    return torch.where(exists[..., None], asked, 0)
