"""Two-hot regression: a scalar as a categorical distribution over fixed bins (Hafner et al., 2023; Bellemare et al., 2017).

A target t between the neighbouring bins b_i <= t <= b_{i+1} puts its weight on these two, linearly:

    w_{i+1} = (t - b_i) / (b_{i+1} - b_i)        w_i = 1 - w_{i+1}        log p(t) = w_i log p_i + w_{i+1} log p_{i+1}

and one beyond the ends all of it on the last bin. Two forms:

    symexp   bins symexp(linspace(-20, 20, n)), weights and expectation in real space: mean = sum p b      (current DreamerV3)
    symlog   bins linspace(-20, 20, n) for symlog(t): mean = symexp(sum p b)                               (its early release)

The bins are symmetric about 0. Those of the first form reach 5e8, so its expectation is summed in pairs from the middle outwards: equal
weights on -b and b cancel exactly, and a head whose logits are all equal predicts exactly 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions.base import Distribution
from twm_core.nn.distributions.drawing import draw_class, likeliest
from twm_core.nn.symlog import symexp, symlog

LIMIT = 20.0
"""The bins reach from -LIMIT to LIMIT in symlog space."""


def symlog_bins(n: int) -> Tensor:
    """`n` (odd) bins in symlog space, evenly spaced, `[n]`."""
    return _mirrored(_lower_half(n))


def symexp_bins(n: int) -> Tensor:
    """`n` (odd) bins in real space, symexp of evenly spaced ones, `[n]`."""
    return _mirrored(symexp(_lower_half(n)))


def _lower_half(n: int) -> Tensor:
    return torch.linspace(-LIMIT, 0, (n + 1) // 2, dtype=torch.float64)


def _mirrored(half: Tensor) -> Tensor:
    """Bins from the lowest to 0, and their mirror images: symmetric to the last bit."""
    half = half.float()
    return torch.cat((half, -half[:-1].flip(0)))


class TwoHot(Distribution):
    """A scalar for each entry of `[...]`; there are no event axes.

    Args:
        logits: `[...,n]`.
        bins: `[n]`, ascending, symmetric about 0, n odd.
        in_symlog: Whether the bins stand in symlog space (the second form).
    """

    def __init__(self, logits: Tensor, bins: Tensor, *, in_symlog: bool = False) -> None:
        self.logits = logits
        self.bins = bins
        self.in_symlog = in_symlog

    @property
    def log_probs(self) -> Tensor:
        """Log-probability of every bin, `[...,n]`, float32."""
        return F.log_softmax(self.logits.float(), dim=-1)

    @property
    def mean(self) -> Tensor:
        """The expectation (in the second form: symexp of the expectation in symlog space)."""
        middle = self.bins.shape[0] // 2
        weighted = self.log_probs.exp() * self.bins
        pairs = weighted[..., :middle].flip(-1) + weighted[..., middle + 1 :]
        return self._real(weighted[..., middle] + pairs.sum(dim=-1))

    @property
    def mode(self) -> Tensor:
        """The value of the most probable bin."""
        index, certain = likeliest(self.logits)
        return self._real(self.bins[index] * certain)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """The value of a bin drawn by the inverse CDF; without gradient. NaN where a logit is no finite number."""
        index, certain = draw_class(self.log_probs.exp(), generator)
        return self._real(self.bins[index] * certain)

    def log_prob(self, value: Tensor) -> Tensor:
        """Minus the cross-entropy with the two-hot weights of `value`."""
        value = value.to(self.bins.dtype)
        value = (symlog(value) if self.in_symlog else value).contiguous()
        above = torch.searchsorted(self.bins, value, right=True).clamp(1, self.bins.shape[0] - 1)
        low, high = self.bins[above - 1], self.bins[above]
        share = ((value - low) / (high - low)).clamp(0, 1)
        near = self.log_probs.gather(-1, torch.stack((above - 1, above), dim=-1))
        return (1 - share) * near[..., 0] + share * near[..., 1]

    def error(self, value: Tensor) -> Tensor:
        """symlog(value) - symlog(mean), in both forms: rewards may have any scale."""
        return symlog(value.to(self.bins.dtype)) - symlog(self.mean)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.logits), self.bins, in_symlog=self.in_symlog)

    def _real(self, value: Tensor) -> Tensor:
        return symexp(value) if self.in_symlog else value
