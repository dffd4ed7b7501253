"""Winner takes all over the modes of decoded futures.

For each agent and future, with p[h, m] the position of mode m at step h and w the mode with the least average distance from the truth,

    regression      sum over m of c[m] * average over h of huber(|p[h, m] - truth[h]|),      c[w] = 1 - epsilon,
                    c[m] = epsilon / (M - 1) for the others
    classification  average over h of -log softmax(logits[h])[w]

The winner is chosen for the whole future, so that a mode is one way of going on and not a choice at each step. Guzman-Rivera et al.,
"Multiple choice learning", 2012; with epsilon, Rupprecht et al., "Learning in an uncertain world: representing ambiguity through multiple
hypotheses", 2017. Averaged over agents that exist at the last observed step and later.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.nn.distributions import HasModes
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.distance import huber
from twm_losses.futures import futures
from twm_losses.motion.config import POSITION, WTAConfig

STATE = "agents.state"


class WTA(Loss):
    """Terms `regression` (metres, Huber) and `classification` (nats).

    Args:
        config: Its options.
        truth: Where x and y stand in `agents.state` of the batch.
        decoded: Where they stand in what is decoded.
    """

    def __init__(self, *, config: WTAConfig, truth: list[int], decoded: list[int]) -> None:
        super().__init__()
        self.config = config
        self.truth = truth
        self.decoded = decoded

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        made = futures(outputs.rollout, batch, self.config.rollout(), "wta")
        state = made.decoded(STATE)
        if not isinstance(state, HasModes):
            raise PluginError(
                f"loss wta: the decoder declares 'motion-mixture' but gives {type(state).__name__}, which has no modes",
                "give the distribution the attributes modes and mode_logits",
            )
        state = cast(HasModes, state)
        here = made.here[:, None]  # B 1 H A
        truth = made.truth(batch, self.truth)[:, None, :, :, None]  # B 1 H A 1 2
        error = torch.where(here[..., None, None], state.modes[..., self.decoded] - truth, 0)  # B S H A M 2
        distance = (error.square().sum(dim=-1) + 1e-6).sqrt()
        count = made.here.sum(dim=1)[:, None]  # B 1 A
        steps = count.clamp_min(1)

        def average(value: Tensor) -> Tensor:
            """Over the steps at which an agent exists: `[B,S,H,A,...]` to `[B,S,A,...]`."""
            shape = (*here.shape, *(1,) * (value.dim() - here.dim()))
            return torch.where(here.reshape(shape), value, 0).sum(dim=2) / steps.reshape(*steps.shape, *(1,) * (value.dim() - here.dim()))

        winner = average(distance.detach()).argmin(dim=-1)  # B S A
        counted = (count > 0).expand_as(winner)
        modes = distance.shape[-1]
        share = torch.full_like(distance[:, :, 0], self.config.epsilon / max(1, modes - 1))
        share = share.scatter(-1, winner[..., None], 1 - self.config.epsilon if modes > 1 else 1.0)
        regression = (share * average(huber(distance, self.config.beta))).sum(dim=-1)
        logits = torch.where(here[..., None], state.mode_logits, 0)
        chosen = winner[:, :, None, :, None].expand(*logits.shape[:-1], 1)
        surprise = -F.log_softmax(logits, dim=-1).gather(-1, chosen).squeeze(-1)
        return {
            "regression": self.config.regression * masked_mean(regression, counted),
            "classification": self.config.classification * masked_mean(average(surprise), counted),
        }


def build(config: WTAConfig, specs: LossSpecs) -> WTA:
    """Build the loss for the features that the decoder returns."""
    truth, decoded = specs.obs_spec.get(STATE), specs.output.get(STATE).features
    return WTA(config=config, truth=[truth.index(n) for n in POSITION], decoded=[decoded.index(n) for n in POSITION])
