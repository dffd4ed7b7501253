"""Point estimates whose log-probability is minus a squared error, in the units of the value or in symlog space.

    MSE         log p(v) = -sum (pred - v)^2
    SymlogMSE   log p(v) = -sum (pred - symlog(v))^2        mean = symexp(pred)

without the factor 1/2: up to a constant the log-density of a Gaussian of variance 1/2. The sum is over the event axes. The spread is not
modelled, so a sample is the prediction itself and draws nothing. Hafner et al., "Mastering diverse domains through world models", 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from twm_core.nn.distributions.base import Distribution
from twm_core.nn.symlog import symexp, symlog


class MSE(Distribution):
    """A point estimate under squared error.

    Args:
        pred: The estimate, with the shape of a value.
        event: How many of the last axes belong to one value: 0 for scalars `[...]`, 1 for vectors `[...,D]`.
    """

    def __init__(self, pred: Tensor, event: int = 1) -> None:
        self.pred = pred
        self.event = event

    @property
    def mean(self) -> Tensor:
        """The estimate."""
        return self.pred

    @property
    def mode(self) -> Tensor:
        """The estimate."""
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """The estimate; nothing is drawn."""
        return self.mean

    def log_prob(self, value: Tensor) -> Tensor:
        squared = self.error(value).square()
        return -squared.flatten(-self.event).sum(dim=-1) if self.event else -squared

    def error(self, value: Tensor) -> Tensor:
        return value.to(self.pred.dtype) - self.pred

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.pred), self.event)


class SymlogMSE(MSE):
    """The same in symlog space: `pred` estimates symlog(value), and errors are differences there."""

    @property
    def mean(self) -> Tensor:
        """The estimate in the units of the value, symexp(pred)."""
        return symexp(self.pred)

    def error(self, value: Tensor) -> Tensor:
        return symlog(value.to(self.pred.dtype)) - self.pred
