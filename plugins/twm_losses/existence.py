"""Binary cross-entropy on existence.

Counted for agents that have been seen at an earlier step of the episode: which slot a newcomer will take cannot be known. An agent that
has left goes on being counted as absent, so that imagined agents learn to stay away.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.nn.batches import observed_before
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.branches import branches
from twm_losses.config import ExistenceConfig

KEY = "agents.exists"


class Existence(Loss):
    """Terms `reconstruction` and `prediction`."""

    def __init__(self, *, config: ExistenceConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        exists = batch[KEY]
        mask = observed_before(exists, batch["is_first"])
        terms = {}
        for name, factor, decoded in branches(self.config, outputs):
            surprise = torch.where(mask, -decoded[KEY].log_prob(exists), 0)
            terms[name] = factor * masked_mean(surprise, mask)
        return terms


def build(config: ExistenceConfig, specs: LossSpecs) -> Existence:
    """Build the loss."""
    return Existence(config=config)
