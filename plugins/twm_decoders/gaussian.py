"""The Gaussian state of an agent: a decoded (x, y, heading, vx, vy) with a decoded spread.

    x = loc + R(h) diag(std) e,  e ~ N(0, 1)        heading: wrapped normal

The Gaussians are independent in the frame of a heading (along, across, turned). A distribution over the steps of a rollout also knows
how its errors hang together in time (see `noise.py`): its samples are trajectories, while `log_prob` is that of each step by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_decoders.kinematics import difference, shifted
from twm_decoders.motion import Motion
from twm_decoders.noise import Memory

_LOG_2PI = 1.8378770664093453
_HEADING = 2
_TURNS = (-1.0, 0.0, 1.0)


class GaussianMotion(Motion):
    """A state with decoded standard deviations.

    Args:
        loc: `[...,5]`, world frame.
        heading: Heading of the frame in which errors are measured, `[...]`.
        scale: Fixed unit of `error`, broadcastable to `[...,5]`; a robust loss cannot shrink by claiming a large spread.
        std: Standard deviations in that frame, `[...,5]`, positive.
        memory: How errors of consecutive steps hang together, for leading axes `[...,H,A]`; None where entries are independent.
    """

    stochastic = True

    def __init__(self, loc: Tensor, heading: Tensor, scale: Tensor, std: Tensor, *, memory: Memory | None = None) -> None:
        super().__init__(loc, heading, scale)
        self.std = std
        self.memory = memory

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A state `[...,5]`, reparameterised; over the steps of a rollout, one trajectory for each of the other axes."""
        if self.memory is None:
            noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype)
            return shifted(self.loc, noise * self.std, self.heading)
        x, y, h, vx, vy = (self.loc + self.memory.draw(self.std, self.heading, generator)).unbind(-1)
        return torch.stack([x, y, wrap_tensor(h), vx, vy], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of each step's state by itself, summed over the five features; the heading's is wrapped once each way round."""
        return gaussian_log_prob(difference(value, self.loc, self.heading), self.std)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """As in `Distribution`; an index may take steps apart, so the result draws every entry by itself."""
        return type(self)(function(self.loc), function(self.heading), function(self.scale.expand_as(self.loc)), function(self.std))

    def detach(self) -> Self:
        """Without gradient; steps still hang together."""
        found = self.map(Tensor.detach)
        found.memory = None if self.memory is None else self.memory.map(Tensor.detach)
        return found


def gaussian_log_prob(error: Tensor, std: Tensor) -> Tensor:
    """Log-density of errors `[...,5]`, the third an angle, under independent Gaussians and a wrapped one: `[...]`.

    The density of an angle repeats every turn. Three terms of that sum are kept, enough for deviations up to about 2 rad, at which
    directions are all but uniform anyway.
    """
    z = error / std
    angle = error[..., _HEADING]
    turns = torch.stack([(angle + k * 2 * torch.pi) / std[..., _HEADING] for k in _TURNS], dim=-1)
    wrapped = torch.logsumexp(-0.5 * turns.square(), dim=-1)
    squares = torch.cat([z[..., :_HEADING], z[..., _HEADING + 1 :]], dim=-1).square().sum(dim=-1)
    return wrapped - 0.5 * squares - std.log().sum(dim=-1) - 2.5 * _LOG_2PI
