"""Angular distance of the decoded heading.

    delta = decoded heading - true heading
    cosine:  1 - cos(delta)            squared:  wrap(delta)^2,  wrap(d) = atan2(sin d, cos d)

Near 0 the square is twice the cosine's cost. At half a turn the cosine has stopped growing and has no gradient; the square still has.
Averaged over the agents that exist at this step and at the one before, because a state is decoded as a change from the step before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_core.data.dataset import Batch
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.branches import branches
from twm_losses.masks import moved
from twm_losses.motion.config import HEADING, AngleConfig

STATE = "agents.state"


class Angle(Loss):
    """Terms `reconstruction` and `prediction`, without unit (`cosine`) or in radians squared.

    Args:
        config: Its options.
        truth: Where the heading stands in `agents.state` of the batch.
        decoded: Where it stands in what is decoded.
    """

    def __init__(self, *, config: AngleConfig, truth: int, decoded: int) -> None:
        super().__init__()
        self.config = config
        self.truth = truth
        self.decoded = decoded

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        mask = moved(batch)
        truth = torch.where(mask, batch[STATE][:, 1:, :, self.truth], 0)
        terms = {}
        for name, factor, decoded in branches(self.config, outputs):
            heading = torch.where(mask, decoded[STATE].mean[:, 1:, :, self.decoded], 0)
            terms[name] = factor * masked_mean(self._cost(heading - truth), mask)
        return terms

    def _cost(self, delta: Tensor) -> Tensor:
        if self.config.form == "cosine":
            return 1 - delta.cos()
        return wrap_tensor(delta).square()


def build(config: AngleConfig, specs: LossSpecs) -> Angle:
    """Build the loss for the features that the decoder returns."""
    truth, decoded = specs.obs_spec.get(STATE), specs.output.get(STATE).features
    return Angle(config=config, truth=truth.index(HEADING), decoded=decoded.index(HEADING))
