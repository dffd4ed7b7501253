"""Kinematics of agents: residuals in the agent's own frame, their integration, its inverse, and the residuals that priors cause.

With pose (p, h) and velocity v of an agent at one step, rotation R(h), and a step of dt seconds,

    p' = p + v dt + R(h) dp        h' = h + dh        v' = v + R(h) dv

where (dp, dh, dv) is the decoded residual; all zeros is constant velocity. Without coasting the term v dt is left out: dp is the whole
change of position and all zeros is standing still. Over several steps everything is a cumulative sum, so a rollout of `H` steps needs
no loop. `*B` are any leading axes.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from twm_core.angles import wrap_tensor

RESIDUALS = 5
"""dp (2, metres), dh (radians), dv (2, metres per second), in the order of the features x, y, heading, vx, vy."""


def turn(x: Tensor, y: Tensor, heading: Tensor) -> tuple[Tensor, Tensor]:
    """The vector `(x, y)` of a frame with this heading, in the world frame."""
    cos, sin = heading.cos(), heading.sin()
    return x * cos - y * sin, x * sin + y * cos


def integrate(
    motion: Float[Tensor, "*B A 5"], residual: Float[Tensor, "*B H A 5"], dt: Float[Tensor, "*B"], *, coasting: bool = True
) -> Float[Tensor, "*B H A 5"]:
    """The states after each of `H` steps.

    Args:
        motion: x, y, heading, vx, vy at the anchor.
        residual: Residuals of each step, each in the agent's frame before that step.
        dt: Seconds of a step.
        coasting: Whether the velocity carries the position.
    """
    x, y, h, vx, vy = motion.unsqueeze(-3).unbind(-1)  # B 1 A
    dx, dy, dh, dvx, dvy = residual.unbind(-1)  # B H A
    dt = dt[..., None, None]
    turned = dh.cumsum(dim=-2)
    before = h + turned - dh
    ax, ay = turn(dvx, dvy, before)
    px, py = turn(dx, dy, before)
    ux, uy = vx + ax.cumsum(dim=-2), vy + ay.cumsum(dim=-2)
    if coasting:  # the velocity before each step carries the position over that step
        px, py = (ux - ax) * dt + px, (uy - ay) * dt + py
    x = x + px.cumsum(dim=-2)
    y = y + py.cumsum(dim=-2)
    return torch.stack([x, y, wrap_tensor(h + turned), ux, uy], dim=-1)


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


def accelerating(acceleration: Float[Tensor, "*B A 2"], dt: Float[Tensor, "*#B 1"]) -> Float[Tensor, "*B A 5"]:
    """The residual of every step at a constant acceleration in the own frame, along and across: dv = a dt, dp = a dt^2 / 2."""
    dv = acceleration * dt[..., None]
    return torch.cat([dv * dt[..., None] / 2, torch.zeros_like(dv[..., :1]), dv], dim=-1)


def residual_between(
    motion: Float[Tensor, "*B A 5"], after: Float[Tensor, "*B A 5"], dt: Float[Tensor, "*B"], *, coasting: bool = True
) -> Float[Tensor, "*B A 5"]:
    """The residual that leads from one state to the next: the inverse of one step of `integrate`."""
    x, y, h, vx, vy = motion.unbind(-1)
    x2, y2, h2, vx2, vy2 = after.unbind(-1)
    dx, dy = x2 - x, y2 - y
    if coasting:
        dt = dt[..., None]
        dx, dy = dx - vx * dt, dy - vy * dt
    dx, dy = turn(dx, dy, -h)
    dvx, dvy = turn(vx2 - vx, vy2 - vy, -h)
    return torch.stack([dx, dy, wrap_tensor(h2 - h), dvx, dvy], dim=-1)


def difference(value: Tensor, loc: Tensor, heading: Tensor) -> Tensor:
    """`value - loc`, two states `[...,5]`, in the frame of a heading `[...]`; the headings' difference goes the short way round."""
    dx, dy, dh, dvx, dvy = (value - loc).unbind(-1)
    dx, dy = turn(dx, dy, -heading)
    dvx, dvy = turn(dvx, dvy, -heading)
    return torch.stack([dx, dy, wrap_tensor(dh), dvx, dvy], dim=-1)


def shifted(loc: Tensor, deviation: Tensor, heading: Tensor) -> Tensor:
    """The state `[...,5]` that lies a deviation, in the frame of a heading, from another: the inverse of `difference`."""
    dx, dy, dh, dvx, dvy = deviation.unbind(-1)
    dx, dy = turn(dx, dy, heading)
    dvx, dvy = turn(dvx, dvy, heading)
    x, y, h, vx, vy = loc.unbind(-1)
    return torch.stack([x + dx, y + dy, wrap_tensor(h + dh), vx + dvx, vy + dvy], dim=-1)
