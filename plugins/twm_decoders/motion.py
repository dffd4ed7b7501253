"""The deterministic state of an agent: a decoded (x, y, heading, vx, vy) whose spread is fixed, that of the training data.

It still has a density, so that a likelihood can be computed: independent Gaussians in the frame of a heading. Their deviations are
buffers of the decoder, not outputs, so a likelihood differs from half the squared error by a constant only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from twm_core.nn.distributions import Distribution
from twm_decoders.kinematics import difference, shifted


class Motion(Distribution):
    """A state (x, y, heading, vx, vy) with independent Gaussian errors in the frame of a heading.

    Args:
        loc: `[...,5]`, world frame.
        heading: Heading of the frame in which errors are measured, `[...]`.
        scale: Standard deviations of dp, dh and dv in that frame, broadcastable to `[...,5]`.
    """

    def __init__(self, loc: Tensor, heading: Tensor, scale: Tensor) -> None:
        self.loc = loc
        self.heading = heading
        self.scale = scale

    @property
    def mean(self) -> Tensor:
        """The state `[...,5]`."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The state `[...,5]`."""
        return self.loc

    def error(self, value: Tensor) -> Tensor:
        """`value - mean` in the frame, heading the short way round, in units of `scale`."""
        return difference(value, self.loc, self.heading) / self.scale

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A state `[...,5]`; draws of different entries, those of different steps included, are independent."""
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype) * self.scale
        return shifted(self.loc, noise, self.heading)

    def log_prob(self, value: Tensor) -> Tensor:
        """Gaussian log-density, summed over the five features (the wrapped tails of the heading are left out)."""
        scale = self.scale.expand_as(self.loc)
        return (-0.5 * self.error(value).square() - scale.log() - 0.9189385332046727).sum(dim=-1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.loc), function(self.heading), function(self.scale.expand_as(self.loc)))
