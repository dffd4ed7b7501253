"""States with more features than the motion: a motion, and beside it what else is continuous, each feature by itself.

    state = (x, y, heading, vx, vy, o_1 .. o_E)        o_i = loc_i + std_i e,  e ~ N(0, 1);  angles on a circle

The motion keeps its own distribution. The others have no frame, so their errors are differences in units of a fixed scale, of angles the
short way round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_core.nn.distributions import Distribution
from twm_decoders.motion import Motion

_HALF_LOG_2PI = 0.9189385332046727


class FurtherFeatures(Distribution):
    """Independent features.

    Args:
        loc: `[...,E]`.
        scale: Fixed unit of `error`, broadcastable to `[...,E]`.
        std: Standard deviations `[...,E]`, positive.
        angles: Which of them are angles, bool `[E]`.
        steps: Whether the leading axes are `[...,H,A]`, the steps of a future, for which one error is drawn that is scaled to each step's
            deviation; else all entries are drawn by themselves.
    """

    def __init__(self, loc: Tensor, scale: Tensor, std: Tensor, angles: Tensor, *, steps: bool = False) -> None:
        self.loc = loc
        self.scale = scale
        self.std = std
        self.angles = angles
        self.steps = steps

    @property
    def mean(self) -> Tensor:
        """The features `[...,E]`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The features `[...,E]`."""
        return self.loc

    def _difference(self, value: Tensor) -> Tensor:
        apart = value - self.loc
        return torch.where(self.angles, wrap_tensor(apart), apart)

    def error(self, value: Tensor) -> Tensor:
        """`value - mean` in units of `scale`, angles the short way round."""
        return self._difference(value) / self.scale

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Features `[...,E]`, reparameterised."""
        shape = self.loc[..., :1, :, :].shape if self.steps else self.loc.shape
        drawn = self.loc + self.std * torch.randn(shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
        return torch.where(self.angles, wrap_tensor(drawn), drawn)

    def log_prob(self, value: Tensor) -> Tensor:
        """Gaussian log-density, summed over the features (the wrapped tails of angles are left out)."""
        z = self._difference(value) / self.std
        return (-0.5 * z.square() - self.std.log() - _HALF_LOG_2PI).sum(dim=-1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """As in `Distribution`; an index may take steps apart, so the result draws every entry by itself."""
        scale = function(self.scale.expand_as(self.loc))
        return type(self)(function(self.loc), scale, function(self.std.expand_as(self.loc)), self.angles)

    def detach(self) -> Self:
        """Without gradient; steps still hang together."""
        found = self.map(Tensor.detach)
        found.steps = self.steps
        return found


class WiderMotion(Distribution):
    """A motion and others.

    Args:
        motion: Of x, y, heading, vx, vy, `[...,5]`.
        further: Of what follows them, `[...,E]`.
    """

    def __init__(self, motion: Motion, further: FurtherFeatures) -> None:
        self.motion = motion
        self.further = further

    @property
    def mean(self) -> Tensor:
        """The state `[...,5+E]`."""
        return torch.cat([self.motion.mean, self.further.mean], dim=-1)

    @property
    def mode(self) -> Tensor:
        """The state `[...,5+E]`."""
        return torch.cat([self.motion.mode, self.further.mode], dim=-1)

    def error(self, value: Tensor) -> Tensor:
        """The error of the motion, then that of the others, `[...,5+E]`."""
        motion, further = self._parts(value)
        return torch.cat([self.motion.error(motion), self.further.error(further)], dim=-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A state `[...,5+E]`; motion and others are drawn independently."""
        return torch.cat([self.motion.sample(generator), self.further.sample(generator)], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density, summed over all features."""
        motion, further = self._parts(value)
        return self.motion.log_prob(motion) + self.further.log_prob(further)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(self.motion.map(function), self.further.map(function))

    def detach(self) -> Self:
        """Without gradient; steps still hang together."""
        return type(self)(self.motion.detach(), self.further.detach())

    def _parts(self, value: Tensor) -> tuple[Tensor, ...]:
        width = self.motion.loc.shape[-1]
        return value[..., :width], value[..., width:]


class WiderGaussianMotion(WiderMotion):
    """A motion and others whose spread is decoded."""

    stochastic = True
