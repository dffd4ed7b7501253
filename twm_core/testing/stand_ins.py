"""Distributions that stand in for a decoder's when losses are tested: those with several modes belong to plugins, not to core.

They have just what a loss may use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions import Distribution


class Modes(Distribution):
    """`M` Gaussian courses of standard deviation 1/2, such as a mixture of motions gives.

    Args:
        packed: `[...,M,D+1]`: the centres `[...,M,D]` and, last, the logits of their weights.
    """

    def __init__(self, packed: Tensor) -> None:
        self.packed = packed
        self.modes = packed[..., :-1]
        self.mode_logits = packed[..., -1]

    @property
    def mean(self) -> Tensor:
        """The average of the modes by their weights."""
        return (self.mode_logits.softmax(dim=-1)[..., None] * self.modes).sum(dim=-2)

    @property
    def mode(self) -> Tensor:
        """The mode with the largest weight."""
        return self._take(self.mode_logits.argmax(dim=-1))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        probs = self.mode_logits.softmax(dim=-1).flatten(0, -2)
        centre = self._take(torch.multinomial(probs, 1, generator=generator).reshape(self.mode_logits.shape[:-1]))
        return centre + 0.5 * torch.randn(centre.shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        each = torch.distributions.Normal(self.modes, 0.5, validate_args=False).log_prob(value.unsqueeze(-2)).sum(dim=-1)
        return torch.logsumexp(F.log_softmax(self.mode_logits, dim=-1) + each, dim=-1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.packed))

    def _take(self, index: Tensor) -> Tensor:
        return self.modes.gather(-2, index[..., None, None].expand(*index.shape, 1, self.modes.shape[-1])).squeeze(-2)


class Futures(Modes):
    """Whole futures, such as a decoder gives ahead: the first course is the centre, and every position is off by half a metre."""

    @property
    def std(self) -> Tensor:
        """Half a metre everywhere."""
        return torch.full_like(self.mode_logits, 0.5)

    @property
    def centre(self) -> Tensor:
        """The first course."""
        return self.modes[..., 0, :]
