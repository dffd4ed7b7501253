"""Independent categorical variables with one-hot values: the latents of DreamerV3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions.base import Distribution
from twm_core.nn.distributions.drawing import draw_class, likeliest


class Categorical(Distribution):
    """`G` independent categorical variables of `C` classes, mixed with the uniform: p = (1 - u) softmax(logits) + u / C.

    Values are one-hot `[...,G,C]`. Samples are straight-through: one-hot + p - stop_gradient(p), with the mixed p (Hafner et al.,
    "Mastering diverse domains through world models", 2023). The event axes are `G` and `C`.

    Args:
        logits: Raw logits `[...,G,C]`.
        unimix: Share `u` of the uniform.
    """

    def __init__(self, logits: Tensor, unimix: float = 0.0) -> None:
        self.logits = logits
        self.unimix = unimix
        raw = F.log_softmax(logits.float(), dim=-1)
        if unimix > 0:
            self.probs = (1 - unimix) * raw.exp() + unimix / logits.shape[-1]
            self.log_probs = self.probs.log()
        else:
            self.probs, self.log_probs = raw.exp(), raw

    @property
    def mean(self) -> Tensor:
        """The mixed probabilities."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """One-hot of the most probable class, straight-through."""
        return self._straight_through(*likeliest(self.probs))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One-hot draw by the inverse CDF: one uniform number for each variable. NaN where a logit is no finite number."""
        return self._straight_through(*draw_class(self.probs, generator))

    def _straight_through(self, index: Tensor, certain: Tensor) -> Tensor:
        hot = torch.zeros_like(self.probs).scatter_(-1, index.unsqueeze(-1), certain.unsqueeze(-1))
        return hot + (self.probs - self.probs.detach()) if self.probs.requires_grad else hot

    def log_prob(self, value: Tensor) -> Tensor:
        return (value * self.log_probs).sum(dim=(-2, -1))

    def entropy(self) -> Tensor:
        return -(self.probs * self.log_probs).sum(dim=(-2, -1))

    def kl(self, other: Self) -> Tensor:
        return (self.probs * (self.log_probs - other.log_probs)).sum(dim=(-2, -1))

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        new = object.__new__(type(self))
        new.unimix = self.unimix
        new.logits, new.probs, new.log_probs = function(self.logits), function(self.probs), function(self.log_probs)
        return new
