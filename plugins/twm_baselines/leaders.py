"""Who is in front of whom at the last observed step.

Where the data says so (`leader_gap`, `leader_speed`, `leader_known`), that is believed, and the leader is looked for among the agents of
the scene by its place: `leader_gap` ahead and `leader_offset` to the left. One that is not found there (it got no slot) is a leader that
keeps its speed. Where the data has no such features, the leader is the nearest agent within `HALF_WIDTH` of the own way (`way`), at most
`REACH` along it, which drives in about the way's direction.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from twm_baselines.config_idm import LEADER
from twm_baselines.lane_path import LanePath
from twm_baselines.observed import columns
from twm_core.data.schema import MOTION
from twm_core.specs import ObservationSpec

HALF_WIDTH, REACH, SAME_DIRECTION = 1.8, 100.0, math.pi / 3
"""Metres and radians: half a lane, and what `twm_core.data.features.leaders` takes too."""

FOUND_WITHIN = 1.0
"""Metres by which a leader may stand beside where the features say; they are single precision, agents are metres apart."""


class Leaders(NamedTuple):
    """For each agent `[B,A]`: the leader's number (-1: not in the scene), whether there is one, m to its centre along the way, its m/s."""

    leads: Tensor
    followed: Tensor
    distance: Tensor
    speed: Tensor


def find_leaders(last: Tensor, here: Tensor, path: LanePath, obs_spec: ObservationSpec) -> Leaders:
    """Leaders at the last observed step.

    Args:
        last: `[B,A,F]`.
        here: bool `[B,A]`: there at that step; nobody else leads or is led.
        path: Of each agent.
        obs_spec: Spec of the batches.
    """
    names = {f.name for f in obs_spec.get("agents.state").features}
    return _recorded_leaders(last, here, obs_spec, names) if names.issuperset(LEADER) else _leaders_on_path(last, here, path, obs_spec)


def _recorded_leaders(last: Tensor, here: Tensor, obs_spec: ObservationSpec, names: set[str]) -> Leaders:
    x, y, heading, vx, vy = columns(last, obs_spec, MOTION)
    gap, relative, known = columns(last, obs_spec, LEADER)
    left = columns(last, obs_spec, ("leader_offset",))[0] if "leader_offset" in names else torch.zeros_like(gap)
    followed = here & (known > 0.5) & (gap > 0)
    cos, sin = heading.cos(), heading.sin()
    at_x, at_y = x + gap * cos - left * sin, y + gap * sin + left * cos
    dx, dy = x[:, None] - at_x[..., None], y[:, None] - at_y[..., None]  # B A A: from where i's leader should be to j
    # Without an offset the leader may be anywhere across the lane.
    across = dy * cos[..., None] - dx * sin[..., None]
    along = dx * cos[..., None] + dy * sin[..., None]
    allowed = FOUND_WITHIN if "leader_offset" in names else HALF_WIDTH
    away = torch.hypot(along, across)
    suits = followed[..., None] & here[:, None] & _others(here) & (along.abs() <= FOUND_WITHIN) & (across.abs() <= allowed)
    leads, found = _nearest(torch.where(suits, away, torch.inf))
    return Leaders(torch.where(found, leads, -1), followed, gap, (vx * cos + vy * sin + relative).clamp_min(0.0))


def _leaders_on_path(last: Tensor, here: Tensor, path: LanePath, obs_spec: ObservationSpec) -> Leaders:
    x, y, heading, vx, vy = columns(last, obs_spec, MOTION)
    dx, dy = x[:, None] - x[..., None], y[:, None] - y[..., None]  # B A A: from i to j
    distance = torch.hypot(dx, dy)
    ahead = dx * path.direction.cos()[..., None] + dy * path.direction.sin()[..., None]
    along = _as_far(path.spread(-1), distance)
    px, py, direction = path.spread(-1).at(along)
    beside = torch.hypot(x[:, None] - px, y[:, None] - py)
    like = (heading[:, None] - direction).cos() >= math.cos(SAME_DIRECTION)
    suits = here[..., None] & here[:, None] & _others(here) & like & (ahead > 0) & (beside <= HALF_WIDTH) & (along <= REACH)
    leads, found = _nearest(torch.where(suits, along, torch.inf))
    nearest = along.gather(2, leads[..., None])[..., 0]
    speed = torch.hypot(vx, vy).gather(1, leads)
    return Leaders(torch.where(found, leads, -1), found, torch.where(found, nearest, 0.0), torch.where(found, speed, 0.0))


def _as_far(path: LanePath, distance: Tensor) -> Tensor:
    """How far along the way it is until one is `distance` from its start as the crow flies, `[B,A,A]`: longer than that in bends."""
    along = distance
    for _ in range(4):
        x, y, _ = path.at(along)
        along = along + distance - torch.hypot(x - path.x, y - path.y)
    return along


def _others(here: Tensor) -> Tensor:
    return ~torch.eye(here.shape[1], dtype=torch.bool, device=here.device)


def _nearest(distance: Tensor) -> tuple[Tensor, Tensor]:
    """Number of the nearest of `[B,A,A]`, and whether it is a finite distance away, `[B,A]` each."""
    if not distance.shape[2]:
        none = distance.new_zeros(distance.shape[:2])
        return none.long(), none.bool()
    least = distance.min(dim=2)
    return least.indices, least.values.isfinite()
