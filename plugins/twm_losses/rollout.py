"""Open-loop rollout loss: what counts when a model is asked for futures.

The world model observes the protocol's context, samples `S` futures to the end of the window and decodes them. On the distance
d[s, h] between decoded and true position (metres), with huber over it:

    mean   average over futures, agents and steps
    best   average over agents of the smallest average over steps (winner takes all: Guzman-Rivera et al., "Multiple choice
           learning", 2012), which lets the futures differ

plus the binary cross-entropy of existence along the futures.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossGiven
from twm_losses.config import RolloutConfig


class RolloutLoss(Loss):
    """Terms `best`, `mean` and `existence`."""

    def __init__(self, *, config: RolloutConfig, truth: list[int], decoded: list[int], existence: bool) -> None:
        super().__init__()
        self.config = config
        self.truth = truth
        self.decoded = decoded
        self.existence = existence

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        rollout = outputs.rollout
        if rollout is None:
            raise PluginError("loss rollout: the world model made no rollout", "use a dataset whose windows have predicted steps")
        exists = batch["agents.exists"]
        start = rollout.start
        began = exists[:, start - 1]
        here = exists[:, start:] & began[:, None]  # B H A
        truth = torch.where(here[..., None], batch["agents.state"][:, start:, :, self.truth], 0)
        guess = rollout.decoded["agents.state"].mean[..., self.decoded]  # B S H A 2
        error = torch.where(here[:, None, ..., None], guess - truth[:, None], 0)
        distance = (error.square().sum(dim=-1) + 1e-6).sqrt()
        cost = F.smooth_l1_loss(distance, torch.zeros_like(distance), reduction="none", beta=self.config.beta)
        steps = here.sum(dim=1)  # B A
        average = (cost * here[:, None]).sum(dim=2) / steps.clamp_min(1)[:, None]  # B S A
        counted = steps > 0
        terms = {
            "best": self.config.best * masked_mean(average.min(dim=1).values, counted),
            "mean": self.config.mean * masked_mean(average.mean(dim=1), counted),
        }
        if self.existence and self.config.existence > 0:
            surprise = -rollout.decoded["agents.exists"].log_prob(exists[:, None, start:].expand(-1, guess.shape[1], -1, -1))
            known = began[:, None, None].expand_as(surprise)
            terms["existence"] = self.config.existence * masked_mean(torch.where(known, surprise, 0), known)
        return terms


def build(config: RolloutConfig, given: LossGiven) -> RolloutLoss:
    """Build the loss for the features that the decoder returns."""
    state, decoded = given.seen.get("agents.state"), given.output.get("agents.state").features
    return RolloutLoss(
        config=config,
        truth=[state.index(n) for n in ("x", "y")],
        decoded=[decoded.index(n) for n in ("x", "y")],
        existence=given.output.has("agents.exists"),
    )
