"""Independent Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from twm_core.nn.distributions.base import Distribution

_LOG_2PI = 1.8378770664093453


class Normal(Distribution):
    """Independent Gaussians over the last axis `[...,D]`.

    Args:
        loc: Means.
        std: Standard deviations, positive, broadcastable to `loc`.
    """

    def __init__(self, loc: Tensor, std: Tensor) -> None:
        self.loc = loc
        self.std = std

    @property
    def mean(self) -> Tensor:
        """The means."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The means."""
        return self.loc

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        return self.loc + self.std * noise

    def log_prob(self, value: Tensor) -> Tensor:
        z = (value - self.loc) / self.std
        return (-0.5 * z.square() - self.std.log() - 0.5 * _LOG_2PI).sum(dim=-1)

    def entropy(self) -> Tensor:
        return (self.std.expand_as(self.loc).log() + 0.5 * (1 + _LOG_2PI)).sum(dim=-1)

    def kl(self, other: Self) -> Tensor:
        ratio = (self.std / other.std).square()
        z = ((self.loc - other.loc) / other.std).square()
        return (0.5 * (ratio + z - 1 - ratio.log())).sum(dim=-1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.loc), function(self.std.expand_as(self.loc)))
