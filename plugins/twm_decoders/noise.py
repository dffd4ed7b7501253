"""How the errors of one future hang together over its steps: what makes a drawn trajectory a trajectory and not a cloud of points.

A decoder that emits changes is uncertain about every change. With independent noise e of each step in the agent's frame, to first
order in the noise, a future of `H` steps deviates from its mean by

    velocity   sum_j R_j e_v,j        heading   sum_j e_h,j        position   sum_j R_j e_p,j + dt sum_j (h - j) R_j e_v,j

(`Walk`; j <= h, R_j turns by the heading before step j; without coasting the last sum is left out). `Walk.spread` is the standard
deviation of that at every step, along and across the heading before it: sums of covariances, without a loop.

A decoder that emits absolute states says how far off each of them may be, and knows no steps between: there one error, drawn once, is
scaled to each step's deviation (`Shared`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from twm_decoders.kinematics import turn


class Memory(ABC):
    """Joint noise of the steps of a future, whose axis `H` stands before that of the agents."""

    @abstractmethod
    def draw(
        self, std: Float[Tensor, "*B H A 5"], heading: Float[Tensor, "*B H A"], generator: torch.Generator | None
    ) -> Float[Tensor, "*B H A 5"]:
        """Deviations from the mean in the world frame, drawn.

        Args:
            std: Deviation at every step in the frame of `heading`.
            heading: Heading before every step.
            generator: Source of the noise.
        """

    @abstractmethod
    def map(self, function: Callable[[Tensor], Tensor]) -> Memory:
        """With `function`, which keeps the axes up to the agents' as they are, applied to its tensors."""


class Shared(Memory):
    """One error for all steps of a future, in units of each step's deviation."""

    def draw(self, std: Tensor, heading: Tensor, generator: torch.Generator | None) -> Tensor:
        noise = torch.randn(std[..., :1, :, :].shape, generator=generator, device=std.device, dtype=std.dtype)
        return _to_world(noise * std, heading)

    def map(self, function: Callable[[Tensor], Tensor]) -> Memory:
        return self


class Walk(Memory):
    """Independent noise of every step's change, summed up.

    Args:
        step: Standard deviations of each step's change, in the frame before that step, `[*B,H,A,5]`.
        dt: Seconds of a step, `[*B]`.
        coasting: Whether an error of the velocity carries the position on.
    """

    def __init__(self, step: Tensor, dt: Tensor, *, coasting: bool) -> None:
        self.step = step
        self.dt = dt
        self.coasting = coasting

    def draw(self, std: Tensor, heading: Tensor, generator: torch.Generator | None) -> Tensor:
        noise = torch.randn(self.step.shape, generator=generator, device=std.device, dtype=std.dtype) * self.step
        px, py, h, vx, vy = _to_world(noise, heading).unbind(-1)
        ux, uy = vx.cumsum(dim=-2), vy.cumsum(dim=-2)
        if self.coasting:
            dt = self.dt[..., None, None]
            px, py = px + (ux - vx) * dt, py + (uy - vy) * dt
        return torch.stack([px.cumsum(dim=-2), py.cumsum(dim=-2), h.cumsum(dim=-2), ux, uy], dim=-1)

    def spread(self, heading: Float[Tensor, "*B H A"]) -> Float[Tensor, "*B H A 5"]:
        """Standard deviations at every step, in the frame of the heading before it; correlations are not told."""
        own = self.step.square()
        p, v = _covariance(own[..., 0], own[..., 1], heading), _covariance(own[..., 3], own[..., 4], heading)  # *B H A 3
        # Sums over earlier steps only: the own noise of a step is added unturned, so that one step has exactly its own deviations.
        before = p.cumsum(dim=-3) - p
        if self.coasting:
            before = before + self.dt[..., None, None, None].square() * _squares(v)
        px, py = _variances(before, heading)
        vx, vy = _variances(v.cumsum(dim=-3) - v, heading)
        turned = own[..., 2].cumsum(dim=-2) - own[..., 2]
        # Differences of float32 sums may fall a little below 0, where the truth is not.
        earlier = torch.stack([px, py, turned, vx, vy], dim=-1).clamp_min(0)
        return (own + earlier).sqrt()

    def map(self, function: Callable[[Tensor], Tensor]) -> Memory:
        return Walk(function(self.step), self.dt, coasting=self.coasting)


def _to_world(deviation: Tensor, heading: Tensor) -> Tensor:
    px, py, h, vx, vy = deviation.unbind(-1)
    return torch.stack([*turn(px, py, heading), h, *turn(vx, vy, heading)], dim=-1)


def _covariance(along: Tensor, across: Tensor, heading: Tensor) -> Tensor:
    """Entries xx, xy, yy of R(h) diag(along, across) R(h)^T, `[...,3]`."""
    c, s = heading.cos(), heading.sin()
    return torch.stack([c * c * along + s * s * across, c * s * (along - across), s * s * along + c * c * across], dim=-1)


def _variances(covariance: Tensor, heading: Tensor) -> tuple[Tensor, Tensor]:
    """Variances along and across a heading: the diagonal of R(h)^T C R(h)."""
    xx, xy, yy = covariance.unbind(-1)
    c, s = heading.cos(), heading.sin()
    return c * c * xx + 2 * c * s * xy + s * s * yy, s * s * xx - 2 * c * s * xy + c * c * yy


def _squares(value: Tensor) -> Tensor:
    """`sum_j (h - j)^2 value_j` over `j <= h` along the steps of `[*B,H,A,3]`, as sums of sums: no large numbers cancel."""
    once = value.cumsum(dim=-3)
    linear = once.cumsum(dim=-3) - once  # sum_j (h - j) value_j
    return 2 * linear.cumsum(dim=-3) - linear
