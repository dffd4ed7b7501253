"""Whether an episode goes on, discounted: the continue head of DreamerV3 (Hafner et al., 2023)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions.base import Distribution
from twm_core.nn.distributions.drawing import certain


class Continue(Distribution):
    """Value 1 goes on, value 0 has ended; the logit is trained on the soft target value x discount.

    So its sigmoid is what imagined returns are multiplied with at each step: discount x probability of going on. There are no event
    axes.

    Args:
        logit: `[...]`.
        discount: Between 0 and 1; 1 - 1/horizon for an effective horizon in steps.
    """

    def __init__(self, logit: Tensor, discount: float = 1.0) -> None:
        self.logit = logit
        self.discount = discount

    @property
    def mean(self) -> Tensor:
        """sigmoid(logit), the discounted probability of going on."""
        return self.logit.sigmoid()

    @property
    def mode(self) -> Tensor:
        """1 where going on, before the discount, is more probable than not; float."""
        return (self.mean > self.discount / 2).to(self.logit.dtype) * certain(self.mean.detach())

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """1 with the discounted probability, else 0; float, without gradient."""
        drawn = torch.rand(self.logit.shape, generator=generator, device=self.logit.device) < self.mean
        return drawn.to(self.logit.dtype) * certain(self.mean.detach())

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the binary cross-entropy with the soft target."""
        target = self.discount * value.to(self.logit.dtype)
        return -F.binary_cross_entropy_with_logits(self.logit, target, reduction="none")

    def error(self, value: Tensor) -> Tensor:
        """Difference of the soft target and the mean."""
        return self.discount * value.to(self.logit.dtype) - self.mean

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.logit), self.discount)
