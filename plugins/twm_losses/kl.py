"""KL between posterior and prior latents, with stop-gradients and free nats.

    split    dyn = max(KL(sg(posterior) || prior), free nats)       rep = max(KL(posterior || sg(prior)), free nats)
    balance  alpha max(KL(sg(posterior) || prior), free nats) + (1 - alpha) max(KL(posterior || sg(prior)), free nats)

The KL is summed over the variables of a latent (one latent per agent where the layout is `agents`), and averaged over the latents that
exist. With `free = "sum"` the floor is put under each latent's sum, with `free = "mean"` under the average of all. Split: Hafner et al.,
"Mastering diverse domains through world models", 2023; balance: Hafner et al., "Mastering Atari with discrete world models", 2021
(alpha 0.8, floor under the average).
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.config import KLConfig


def where_present(distribution: Distribution, mask: Tensor) -> Distribution:
    """The same distribution with ones in place of latents that are not there: nothing of them enters a KL or its gradient."""

    def clean(x: Tensor) -> Tensor:
        return torch.where(mask.reshape(*mask.shape, *(1,) * (x.dim() - mask.dim())), x, 1)

    return distribution.map(clean)


class KL(Loss):
    """Terms `dyn` and `rep` (form `split`) or `balance`, in nats."""

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
        mask = batch["agents.exists"] if self.agents else None
        if mask is not None:
            posterior, prior = where_present(posterior, mask), where_present(prior, mask)
        dyn = self._floored(posterior.detach().kl(prior), mask)
        rep = self._floored(posterior.kl(prior.detach()), mask)
        if self.config.form == "balance":
            return {"balance": self.config.alpha * dyn + (1 - self.config.alpha) * rep}
        return {"dyn": self.config.dyn * dyn, "rep": self.config.rep * rep}

    def _floored(self, nats: Tensor, mask: Tensor | None) -> Tensor:
        """The average over latents that exist, with the floor under each or under the average; 0 where none exists."""
        mask = torch.ones_like(nats, dtype=torch.bool) if mask is None else mask
        if self.config.free == "sum":
            return masked_mean(nats.clamp_min(self.config.free_nats), mask)
        return torch.where(mask.any(), masked_mean(nats, mask).clamp_min(self.config.free_nats), 0)


def build(config: KLConfig, specs: LossSpecs) -> KL:
    """Build the loss for the layout of the latent."""
    return KL(config=config, agents=specs.latent.layout == "agents")
