"""Distributions that decoders and dynamics return: mean, mode, sample, log_prob; for latents also entropy and KL.

`torch.distributions` is too slow for the inner loop (argument checks, repeated normalization) and draws from the global generator, so
these are plain classes over tensors. The tests compare each of them with `torch.distributions`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class HasModes(Protocol):
    """What a distribution with several modes shows of them, such as a mixture of motions; losses and pictures read it.

    Attributes:
        modes: The centre of each of the `M` modes, `[...,M,D]` where a value is `[...,D]`.
        mode_logits: Logits of the modes' weights, `[...,M]`.
    """

    @property
    def modes(self) -> Tensor: ...

    @property
    def mode_logits(self) -> Tensor: ...


@runtime_checkable
class HasFutures(HasModes, Protocol):
    """What a distribution over whole futures shows: its modes are the courses of each agent, with leading axes `[B,1,H,A]`.

    Attributes:
        std: Standard deviation of the position of each mode at each step, metres, `[B,1,H,A,M]`.
        centre: States of the single future that is nearest to the truth on average, `[B,1,H,A,D]`.
    """

    @property
    def std(self) -> Tensor: ...

    @property
    def centre(self) -> Tensor: ...


class Distribution(ABC):
    """A distribution over a tensor. Leading axes are independent; `log_prob` sums over the event axes only."""

    stochastic: ClassVar[bool] = False
    """Whether a decoder says how far off it may be, so that several futures are drawn from what it decodes; else its mean is a future."""

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
