"""The two families of stochastic parts: everything that differs between `rssm-cat` and `rssm-gauss`.

    categorical   G one-hot variables of C classes, p = (1 - unimix) softmax(logits) + unimix / C, straight-through samples
    gaussian      S variables, mean + std * noise, with std = 2 sigmoid(s / 2) + min_std or softplus(s) + min_std

Noise is drawn beforehand for a whole sequence, so that a loop over time draws nothing and a prior can share the noise of its posterior.
(Hafner et al., "Mastering diverse domains through world models", 2023; the Gaussian form is that of its first release.)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core.nn.distributions import Categorical, Normal, likeliest
from twm_rssm.sampling import straight_through


class Latents(ABC):
    """A family of stochastic parts.

    Attributes:
        shape: Shape of a sample.
        stats_shape: Shape of the numbers that fix its distribution.
        one_hot: Whether every variable of a sample is one-hot.
    """

    shape: tuple[int, ...]
    stats_shape: tuple[int, ...]
    one_hot: bool

    @abstractmethod
    def noise(self, lead: tuple[int, ...], *, generator: torch.Generator | None, device: torch.device) -> Tensor:
        """One number for each variable, `[*lead,variables]`."""

    @abstractmethod
    def stratified(self, noise: Tensor, *, generator: torch.Generator | None) -> Tensor:
        """The same noise, `[B,S,...]`, moved so that of its `S` draws one lies in each of `S` equally probable strata, in random order.

        Each draw by itself is distributed as before (McKay, Beckman & Conover, "A comparison of three methods for selecting values of
        input variables", 1979: Latin hypercube sampling).
        """

    @abstractmethod
    def stats(self, raw: Tensor) -> Tensor:
        """What a head gives, `[...,width]`, as what a state stores, `[...,*stats_shape]`."""

    @abstractmethod
    def sample(self, stats: Tensor, noise: Tensor, forced: Tensor | None = None) -> Tensor:
        """A draw `[...,*shape]` in float32 with the family's gradient; `forced` is the value to take instead, with the same gradient."""

    @abstractmethod
    def mode(self, stats: Tensor) -> Tensor:
        """The most probable value `[...,*shape]` in float32; no gradient flows through a one-hot mode."""

    @abstractmethod
    def distribution(self, stats: Tensor) -> Categorical | Normal:
        """The distribution, for losses."""


class CategoricalLatents(Latents):
    """`G` categorical variables of `C` classes.

    Args:
        groups: `G`.
        classes: `C`.
        unimix: Share of the uniform distribution.
        stored: Whether the logits in a state are those of the mixture (early DreamerV3) instead of the raw ones.
    """

    one_hot = True

    def __init__(self, groups: int, classes: int, *, unimix: float, stored: bool) -> None:
        self.shape = self.stats_shape = (groups, classes)
        self.mixed_before = unimix if stored else 0.0
        self.stored = stored
        self.unimix = 0.0 if stored else unimix

    def noise(self, lead: tuple[int, ...], *, generator: torch.Generator | None, device: torch.device) -> Tensor:
        return torch.rand((*lead, self.shape[0]), generator=generator, device=device)

    def stratified(self, noise: Tensor, *, generator: torch.Generator | None) -> Tensor:
        return _strata(noise, generator)

    def stats(self, raw: Tensor) -> Tensor:
        logits = raw.unflatten(-1, self.shape)
        if not self.stored:
            return logits
        return ((1 - self.mixed_before) * logits.float().softmax(-1) + self.mixed_before / self.shape[1]).log()

    def sample(self, stats: Tensor, noise: Tensor, forced: Tensor | None = None) -> Tensor:
        return straight_through(stats, noise, self.unimix, forced)

    def mode(self, stats: Tensor) -> Tensor:
        index, certain = likeliest(stats)
        return F.one_hot(index, self.shape[1]).float() * certain.float().unsqueeze(-1)

    def distribution(self, stats: Tensor) -> Categorical:
        return Categorical(stats, self.unimix)


class GaussianLatents(Latents):
    """`S` independent Gaussian variables.

    Args:
        size: `S`.
        std: How the raw deviation `s` becomes a standard deviation: `sigmoid2` or `softplus`.
        min_std: Added to it.
    """

    one_hot = False

    def __init__(self, size: int, *, std: Literal["sigmoid2", "softplus"], min_std: float) -> None:
        self.shape, self.stats_shape = (size,), (2, size)
        self.std = std
        self.min_std = min_std

    def noise(self, lead: tuple[int, ...], *, generator: torch.Generator | None, device: torch.device) -> Tensor:
        return torch.randn((*lead, *self.shape), generator=generator, device=device)

    def stratified(self, noise: Tensor, *, generator: torch.Generator | None) -> Tensor:
        return torch.special.ndtri(_strata(torch.special.ndtr(noise), generator).clamp(1e-6, 1 - 1e-6))

    def stats(self, raw: Tensor) -> Tensor:
        return raw.unflatten(-1, self.stats_shape)

    def sample(self, stats: Tensor, noise: Tensor, forced: Tensor | None = None) -> Tensor:
        mean, std = self._mean_std(stats)
        if forced is None:
            return torch.addcmul(mean, std, noise)
        # The noise that would have given the forced value; the difference of two equal numbers keeps that value exact.
        drawn = mean + std * ((forced - mean) / std).detach()
        return forced + (drawn - drawn.detach())

    def mode(self, stats: Tensor) -> Tensor:
        return self._mean_std(stats)[0]

    def distribution(self, stats: Tensor) -> Normal:
        return Normal(*self._mean_std(stats))

    def _mean_std(self, stats: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = stats.float().unbind(-2)
        std = 2 * torch.sigmoid(raw / 2) if self.std == "sigmoid2" else F.softplus(raw)
        return mean, std + self.min_std


def _strata(uniform: Tensor, generator: torch.Generator | None) -> Tensor:
    """Numbers in [0, 1), `[B,S,...]`, each squeezed into a stratum of its own among the `S` of its row."""
    order = torch.rand(uniform.shape, generator=generator, device=uniform.device).argsort(dim=1)
    return (order + uniform) / uniform.shape[1]
