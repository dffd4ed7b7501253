"""Independent flags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions.base import Distribution
from twm_core.nn.distributions.drawing import certain, require_finite


class Bernoulli(Distribution):
    """Independent flags, one for each entry of `logit`. A `DataError` is raised where one is taken from a logit that is not a number."""

    def __init__(self, logit: Tensor) -> None:
        self.logit = logit

    @property
    def mean(self) -> Tensor:
        """The probability of true."""
        return self.logit.sigmoid()

    @property
    def mode(self) -> Tensor:
        """True where the probability exceeds one half."""
        require_finite(certain(self.mean), "flags")
        return self.logit > 0

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        require_finite(certain(self.mean), "flags")
        return torch.rand(self.logit.shape, generator=generator, device=self.logit.device) < self.mean

    def log_prob(self, value: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self.logit, value.to(self.logit.dtype), reduction="none")

    def error(self, value: Tensor) -> Tensor:
        return value.to(self.logit.dtype) - self.mean

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.logit))
