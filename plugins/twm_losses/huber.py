"""Huber loss on agent states.

    error = distribution.error(truth)          in the decoder's own frame and scale
    huber(e) = e^2 / (2 beta) for |e| < beta, |e| - beta / 2 beyond

averaged over the decoded features and over all (batch, time, agent) that exist at this step and at the one before, because a state
is decoded as a change from the step before. Huber, "Robust estimation of a location parameter", 1964.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.branches import branches
from twm_losses.config import HuberConfig
from twm_losses.masks import moved

KEY = "agents.state"


class Huber(Loss):
    """Terms `reconstruction` and `prediction`."""

    def __init__(self, *, config: HuberConfig, features: list[int]) -> None:
        super().__init__()
        self.config = config
        self.features = features

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        exists = batch["agents.exists"]
        truth = torch.where(exists[..., None], batch[KEY], 0)[:, 1:, :, self.features]
        mask = moved(batch)
        terms = {}
        for name, factor, decoded in branches(self.config, outputs):
            terms[name] = factor * self._term(decoded[KEY].map(lambda x: x[:, 1:]), truth, mask)
        return terms

    def _term(self, decoded: Distribution, truth: Tensor, mask: Tensor) -> Tensor:
        error = torch.where(mask[..., None], decoded.error(truth), 0)
        return masked_mean(F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none", beta=self.config.beta), mask)


def build(config: HuberConfig, specs: LossSpecs) -> Huber:
    """Build the loss for the features that the decoder returns."""
    state = specs.obs_spec.get(KEY)
    return Huber(config=config, features=[state.index(n) for n in specs.output.get(KEY).features])
