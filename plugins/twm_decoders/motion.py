"""Motion of agents: the kinematic prior, its residual in the agent's own frame, and the distribution over the resulting state.

With pose (p, h) and velocity v of an agent at one step, rotation R(h), and a step of dt seconds,

    p' = p + v dt + R(h) dp        h' = h + dh        v' = v + R(h) dv

where (dp, dh, dv) is the decoded residual; all zeros is constant velocity. Over several steps everything is a cumulative sum, so a
rollout of `H` steps needs no loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from twm_core.nn.distributions import Distribution

RESIDUALS = 5
"""dp (2, metres), dh (radians), dv (2, metres per second), in the order of the features x, y, heading, vx, vy."""


def wrap(angle: Tensor) -> Tensor:
    """The same angle in (-pi, pi]."""
    return torch.atan2(angle.sin(), angle.cos())


def turn(x: Tensor, y: Tensor, heading: Tensor) -> tuple[Tensor, Tensor]:
    """The vector `(x, y)` of a frame with this heading, in the world frame."""
    cos, sin = heading.cos(), heading.sin()
    return x * cos - y * sin, x * sin + y * cos


def integrate(motion: Float[Tensor, "*B A 5"], residual: Float[Tensor, "*B H A 5"], dt: Float[Tensor, "*B"]) -> Float[Tensor, "*B H A 5"]:
    """The states after each of `H` steps.

    Args:
        motion: x, y, heading, vx, vy at the anchor.
        residual: Residuals of each step, each in the agent's frame before that step.
        dt: Seconds of a step.
    """
    x, y, h, vx, vy = motion.unsqueeze(-3).unbind(-1)  # B 1 A
    dx, dy, dh, dvx, dvy = residual.unbind(-1)  # B H A
    dt = dt[..., None, None]
    turned = dh.cumsum(dim=-2)
    before = h + turned - dh
    ax, ay = turn(dvx, dvy, before)
    px, py = turn(dx, dy, before)
    ux, uy = vx + ax.cumsum(dim=-2), vy + ay.cumsum(dim=-2)
    # The velocity before each step carries the position over that step.
    x = x + ((ux - ax) * dt + px).cumsum(dim=-2)
    y = y + ((uy - ay) * dt + py).cumsum(dim=-2)
    return torch.stack([x, y, wrap(h + turned), ux, uy], dim=-1)


def turning(velocity: Float[Tensor, "*B A 2"], yaw_rate: Float[Tensor, "*B A"], dt: Float[Tensor, "*#B 1"]) -> Float[Tensor, "*B A 5"]:
    """The residual of every step of a turn with constant speed and yaw rate (constant turn rate and velocity).

    In the agent's own frame the velocity u turns by a = yaw_rate dt: dv = R(a) u - u, dp = dv dt / 2 (to second order), dh = a.

    Args:
        velocity: In the own frame, metres per second.
        yaw_rate: Radians per second.
        dt: Seconds of a step.
    """
    angle = yaw_rate * dt
    ux, uy = velocity.unbind(-1)
    vx, vy = turn(ux, uy, angle)
    dvx, dvy = vx - ux, vy - uy
    half = dt / 2
    return torch.stack([dvx * half, dvy * half, angle, dvx, dvy], dim=-1)


def speeding(acceleration: Float[Tensor, "*B A"], dt: Float[Tensor, "*#B 1"]) -> Float[Tensor, "*B A 5"]:
    """The residual of every step at a constant acceleration along the heading: dv = a dt, dp = a dt^2 / 2."""
    dv = acceleration * dt
    zero = torch.zeros_like(dv)
    return torch.stack([dv * dt / 2, zero, zero, dv, zero], dim=-1)


def residual_between(motion: Float[Tensor, "*B A 5"], after: Float[Tensor, "*B A 5"], dt: Float[Tensor, "*B"]) -> Float[Tensor, "*B A 5"]:
    """The residual that leads from one state to the next: the inverse of one step of `integrate`."""
    x, y, h, vx, vy = motion.unbind(-1)
    x2, y2, h2, vx2, vy2 = after.unbind(-1)
    dt = dt[..., None]
    dx, dy = turn(x2 - x - vx * dt, y2 - y - vy * dt, -h)
    dvx, dvy = turn(vx2 - vx, vy2 - vy, -h)
    return torch.stack([dx, dy, wrap(h2 - h), dvx, dvy], dim=-1)


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
        dx, dy, dh, dvx, dvy = (value - self.loc).unbind(-1)
        dx, dy = turn(dx, dy, -self.heading)
        dvx, dvy = turn(dvx, dvy, -self.heading)
        return torch.stack([dx, dy, wrap(dh), dvx, dvy], dim=-1) / self.scale

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(self.loc.shape, generator=generator, device=self.loc.device, dtype=self.loc.dtype) * self.scale
        dx, dy, dh, dvx, dvy = noise.unbind(-1)
        dx, dy = turn(dx, dy, self.heading)
        dvx, dvy = turn(dvx, dvy, self.heading)
        x, y, h, vx, vy = self.loc.unbind(-1)
        return torch.stack([x + dx, y + dy, wrap(h + dh), vx + dvx, vy + dvy], dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Gaussian log-density, summed over the five features (the wrapped tails of the heading are left out)."""
        scale = self.scale.expand_as(self.loc)
        return (-0.5 * self.error(value).square() - scale.log() - 0.9189385332046727).sum(dim=-1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.loc), function(self.heading), function(self.scale.expand_as(self.loc)))
