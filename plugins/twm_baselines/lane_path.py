"""The way that a vehicle is assumed to take: on along its lane at the distance that it keeps from the lane's middle.

The direction at distance s is that of the lane (heading minus `lane_angle`) plus what the lane turns: `lane_turn_20` over the first 20 m,
the rest of `lane_turn_50` over the next 30 m, straight on after that. So it is two arcs and a line. Without a lane it is a line along the
heading. At a junction the lane features follow the straightest successor, and so does the way: nobody turns off, and nobody yields.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from twm_baselines.config_idm import LANE
from twm_baselines.observed import columns
from twm_core.data.schema import MOTION
from twm_core.specs import ObservationSpec

NEAR, FAR = 20.0, 50.0
"""Metres, as in the names of the features."""


class LanePath(NamedTuple):
    """Two arcs and a line, `[B,A]` each: start (m), direction at the start (rad), and curvatures of both arcs (1/m)."""

    x: Tensor
    y: Tensor
    direction: Tensor
    near: Tensor
    far: Tensor

    def at(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Position and direction at distance `s`, `[B,A]` or, of a way that was `spread`, with one more axis.

        Negative distances lie on the line behind the start.
        """
        x, y, angle = (v.expand_as(s) for v in (self.x, self.y, self.direction))
        straight = torch.zeros_like(s)
        x, y, angle = _arc(x, y, angle, straight, s.clamp_max(0.0))
        x, y, angle = _arc(x, y, angle, self.near.expand_as(s), s.clamp(0.0, NEAR))
        x, y, angle = _arc(x, y, angle, self.far.expand_as(s), s.clamp(NEAR, FAR) - NEAR)
        return _arc(x, y, angle, straight, (s - FAR).clamp_min(0.0))

    def spread(self, axis: int) -> LanePath:
        """With a new axis, for distances that have one more."""
        return LanePath(*(v.unsqueeze(axis) for v in self))


def lane_path_of(last: Tensor, obs_spec: ObservationSpec) -> LanePath:
    """The way of each agent from its last state `[B,A,F]`."""
    x, y, heading, _, _ = columns(last, obs_spec, MOTION)
    zero = torch.zeros_like(x)
    if not all(f in {g.name for g in obs_spec.get("agents.state").features} for f in LANE):
        return LanePath(x, y, heading, zero, zero)
    angle, known, near, far = columns(last, obs_spec, LANE)
    lane = known > 0.5
    return LanePath(
        x,
        y,
        torch.where(lane, heading - angle, heading),
        torch.where(lane, near / NEAR, 0.0),
        torch.where(lane, (far - near) / (FAR - NEAR), 0.0),
    )


def _arc(x: Tensor, y: Tensor, angle: Tensor, curvature: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The end of an arc: its chord has the direction of its middle and the length `l sinc(k l / 2)`."""
    turn = curvature * length
    chord, middle = length * torch.sinc(turn / (2 * torch.pi)), angle + turn / 2
    return x + chord * middle.cos(), y + chord * middle.sin(), angle + turn
