"""Negative log-likelihood of whatever the decoders return: -log p(truth), in nats, for each chosen key and branch.

What a log-probability is, the distribution of the key says: it sums over the features of one value, so an image costs the sum over its
pixels. For point estimates it is minus a squared error (see `twm_core.nn.distributions.squared`). These are the reconstruction, reward and
continue losses of DreamerV3 (Hafner et al., "Mastering diverse domains through world models", 2023).
"""

from __future__ import annotations

from torch import Tensor

from twm_core.nn.distributions import Distribution
from twm_core.specs import LossSpecs
from twm_losses.config_likelihood import NLLConfig
from twm_losses.keyed import KeyedLoss, chosen_keys


class NLL(KeyedLoss):
    """See the module."""

    def cost(self, decoded: Distribution, truth: Tensor, leading: int) -> Tensor:
        return -decoded.log_prob(truth)


def build(config: NLLConfig, specs: LossSpecs) -> NLL:
    """Build the loss for the chosen keys."""
    return NLL(config=config, keys=chosen_keys(config, specs))
