"""KL between posterior and prior latents, with stop-gradients and free nats.

    dyn = max(KL(sg(posterior) || prior), free nats)      rep = max(KL(posterior || sg(prior)), free nats)

The KL is summed over the variables of a latent and clipped for each latent (for each agent where there is one latent per agent), then
averaged over those that exist. Hafner et al., "Mastering diverse domains through world models", 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossGiven
from twm_losses.config import KLConfig


class KL(Loss):
    """Terms `dyn` and `rep`."""

    def __init__(self, *, config: KLConfig, agents: bool) -> None:
        super().__init__()
        self.config = config
        self.agents = agents

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        posterior, prior = outputs.posterior.distribution, outputs.prior.distribution
        if posterior is None or prior is None:
            raise PluginError(
                "loss kl: the dynamics declare a stochastic latent but give no distribution", "implement Dynamics.distribution"
            )
        dyn = posterior.detach().kl(prior).clamp_min(self.config.free_nats)
        rep = posterior.kl(prior.detach()).clamp_min(self.config.free_nats)
        mask = batch["agents.exists"] if self.agents else torch.ones_like(dyn, dtype=torch.bool)
        return {"dyn": self.config.dyn * masked_mean(dyn, mask), "rep": self.config.rep * masked_mean(rep, mask)}


def build(config: KLConfig, given: LossGiven) -> KL:
    """Build the loss for the layout of the latent."""
    return KL(config=config, agents=given.latent.layout == "agents")
