"""Mean squared error of whatever the decoders return: the square of `distribution.error(truth)`, averaged over the features of a value.

The error is in the distribution's own coordinates and scale: in the agent's frame for motion, in symlog space for symlog estimates and
two-hot rewards, the probability that the truth lacks for labels.
"""

from __future__ import annotations

from torch import Tensor

from twm_core.nn.distributions import Distribution
from twm_core.specs import LossSpecs
from twm_losses.config_likelihood import MSEConfig
from twm_losses.keyed import KeyedLoss, chosen_keys


class MSE(KeyedLoss):
    """See the module."""

    def cost(self, decoded: Distribution, truth: Tensor, leading: int) -> Tensor:
        squared = decoded.error(truth).float().square()
        return squared.flatten(leading).mean(dim=-1) if squared.dim() > leading else squared


def build(config: MSEConfig, specs: LossSpecs) -> MSE:
    """Build the loss for the chosen keys."""
    return MSE(config=config, keys=chosen_keys(config, specs))
