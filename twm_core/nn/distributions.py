"""Distributions that decoders and dynamics return: mean, mode, sample, log_prob; for latents also entropy and KL.

`torch.distributions` is too slow for the inner loop (argument checks, repeated normalisation) and draws from the global generator, so
these are plain classes over tensors. The tests compare each of them with `torch.distributions`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor


class Distribution(ABC):
    """A distribution over a tensor. Leading axes are independent; `log_prob` sums over the event axes only."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """The expectation, with the shape of a value."""

    @property
    @abstractmethod
    def mode(self) -> Tensor:
        """The most probable value."""

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw, with gradient where the distribution allows it (reparameterised or straight-through)."""

    @abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability (density) of `value`, in nats."""

    def error(self, value: Tensor) -> Tensor:
        """Difference `value - mean` in the distribution's own coordinates and scale, which robust losses penalise.

        A distribution over angles returns the shortest way round, one over poses works in the agent's frame, and all of them divide
        by a typical size, so that 1 means "as large as usual".
        """
        return value - self.mean

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same distribution with `function` (an index, a reshape of leading axes, detach) applied to its tensors."""
        raise NotImplementedError(f"{type(self).__name__} cannot be mapped")

    def detach(self) -> Self:
        """Without gradient."""
        return self.map(Tensor.detach)

    def entropy(self) -> Tensor:
        """Entropy in nats, summed over the event axes."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form entropy")

    def kl(self, other: Self) -> Tensor:
        """KL(self || other) in nats, summed over the event axes."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form KL")


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
        return self._straight_through(self.probs.argmax(dim=-1))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One-hot draw by the inverse CDF: one uniform number for each variable."""
        with torch.no_grad():
            cdf = self.probs.cumsum(dim=-1)
            uniform = torch.rand(self.probs.shape[:-1], generator=generator, device=self.probs.device).unsqueeze(-1)
            index = (cdf < uniform * cdf[..., -1:]).sum(dim=-1).clamp_max(self.probs.shape[-1] - 1)
        return self._straight_through(index)

    def _straight_through(self, index: Tensor) -> Tensor:
        hot = torch.zeros_like(self.probs).scatter_(-1, index.unsqueeze(-1), 1.0)
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


class Bernoulli(Distribution):
    """Independent flags, one for each entry of `logit`."""

    def __init__(self, logit: Tensor) -> None:
        self.logit = logit

    @property
    def mean(self) -> Tensor:
        """The probability of true."""
        return self.logit.sigmoid()

    @property
    def mode(self) -> Tensor:
        """True where the probability exceeds one half."""
        return self.logit > 0

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return torch.rand(self.logit.shape, generator=generator, device=self.logit.device) < self.mean

    def log_prob(self, value: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self.logit, value.to(self.logit.dtype), reduction="none")

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.logit))


_LOG_2PI = 1.8378770664093453
