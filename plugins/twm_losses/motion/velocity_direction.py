"""Direction of the decoded velocity, for agents that move.

    1 - (u . v) / (|u| |v|)        u decoded, v true velocity

Counted where the true speed |v| exceeds `threshold` (metres per second: the direction of an agent that stands is noise), and where the
agent exists at this step and at the one before. The speed itself is left to other losses. |u| is taken as sqrt(|u|^2 + 1e-6), so that a
decoded velocity of 0 costs 1 and has a finite gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.branches import branches
from twm_losses.masks import moved
from twm_losses.motion.config import VELOCITY, VelocityDirectionConfig

STATE = "agents.state"


class VelocityDirection(Loss):
    """Terms `reconstruction` and `prediction`, between 0 (same direction) and 2 (opposite).

    Args:
        config: Its options.
        truth: Where vx and vy stand in `agents.state` of the batch.
        decoded: Where they stand in what is decoded.
    """

    def __init__(self, *, config: VelocityDirectionConfig, truth: list[int], decoded: list[int]) -> None:
        super().__init__()
        self.config = config
        self.truth = truth
        self.decoded = decoded

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        both = moved(batch)
        truth = torch.where(both[..., None], batch[STATE][:, 1:, :, self.truth], 0)
        speed = truth.norm(dim=-1)
        mask = both & (speed > self.config.threshold)
        terms = {}
        for name, factor, decoded in branches(self.config, outputs):
            velocity = torch.where(mask[..., None], decoded[STATE].mean[:, 1:, :, self.decoded], 0)
            size = (velocity.square().sum(dim=-1) + 1e-6).sqrt()
            cosine = (velocity * truth).sum(dim=-1) / (size * torch.where(mask, speed, 1))
            terms[name] = factor * masked_mean(1 - cosine, mask)
        return terms


def build(config: VelocityDirectionConfig, specs: LossSpecs) -> VelocityDirection:
    """Build the loss for the features that the decoder returns."""
    truth, decoded = specs.obs_spec.get(STATE), specs.output.get(STATE).features
    return VelocityDirection(config=config, truth=[truth.index(n) for n in VELOCITY], decoded=[decoded.index(n) for n in VELOCITY])
