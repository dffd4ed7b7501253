"""Augmentation of traffic batches in training: mirror images, other sizes and directions of the same scene, and fewer agents.

A mirrored scene is one with y pointing the other way: what lies to the left lies to the right. A scene scaled by s has all lengths,
speeds and accelerations times s at the same times ("time-consistent": turning rates stay). A turned one lies in another direction, turned
about the mean position of those who are there first. All hold for the whole window, observed and predicted steps alike, so they keep it a
possible recording. Lane tokens name lanes of the real road, so a mirrored scene has none. A map raster goes along: a mirrored one is turned
over (rows in reverse) and lies where the mirror puts it, a scaled one has larger pixels, of a turned one only the pose changes.

Dropped agents are gone from the window, inputs and targets alike, as padding is; one agent that the protocol scores always stays. What
others' features say of a dropped agent (a gap to it) stays, as with an agent that drives there unseen.

Features are addressed by name, unit and frame through the spec.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_core.data.dataset import Batch
from twm_core.data.schema import EXISTENCE_CODES
from twm_core.specs import KeySpec

_NEGATED = (
    *("y", "vy", "ay", "heading", "yaw_rate", "velocity_direction", "lane_offset", "lane_angle", "lane_turn_20", "lane_turn_50"),
    *("leader_offset", "leader_drift", "follower_offset", "follower_drift"),
)
_SWAPPED = (("lane_left", "lane_right"),)
_LENGTHS = ("m", "m/s", "m/s^2")  # metres_per_pixel of a raster's pose is a length too
_PER_LENGTH = ("lane_turn_20", "lane_turn_50")


_VECTORS = (("x", "y"), ("vx", "vy"), ("ax", "ay"))


def augment_traffic(
    batch: Batch,
    state: KeySpec,
    *,
    mirror: float,
    scale: float,
    generator: torch.Generator,
    pose: KeySpec | None = None,
    rotate: bool = False,
    dropout: float = 0.0,
) -> Batch:
    """A batch of the same windows, each mirrored with probability `mirror`, scaled by a factor in [1 / (1 + scale), 1 + scale], turned by
    any angle, and without a share of its agents.

    Args:
        batch: Batch with `agents.state` `[B,T,A,F]`; it is left as it is.
        state: Spec of `agents.state`.
        mirror: Probability of a mirror image.
        scale: Largest enlargement; the factor is log-uniform. 0 leaves sizes alone.
        generator: Source of the draws; the same number is drawn whatever the options are.
        pose: Spec of `map.pose`, for batches with a map raster.
        rotate: Whether to turn scenes.
        dropout: Probability with which an agent is dropped.
    """
    values = batch["agents.state"]
    size, _, agents, _ = values.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device).to(values.device)

    drawn, angle, kept = draw(2, size), draw(size), draw(size, agents)
    flipped, factor = drawn[0] < mirror, (1 + scale) ** (2 * drawn[1] - 1)
    changed = dict(batch)
    changed["agents.state"] = _scaled(_mirrored(values, state, flipped), state, factor)
    if "agents.lane" in batch:
        changed["agents.lane"] = torch.where(flipped[:, None, None], 0, batch["agents.lane"])
    if pose is not None:
        # As one agent at one step: [B,4] -> [B,1,1,4].
        moved = _scaled(_mirrored(batch["map.pose"][:, None, None], pose, flipped), pose, factor)
        changed["map.pose"] = moved[:, 0, 0]
        raster = batch["map.raster"]
        changed["map.raster"] = torch.where(flipped[:, None, None, None], raster.flip(-2), raster)
    if rotate:
        angle = 2 * math.pi * angle
        exists = batch["agents.exists"]
        middle = _middle(changed["agents.state"], state, exists)
        turned = _turned(changed["agents.state"], state, angle, middle)
        changed["agents.state"] = torch.where(exists[..., None], turned, changed["agents.state"])
        if pose is not None:
            changed["map.pose"] = _turned(changed["map.pose"][:, None, None], pose, angle, middle)[:, 0, 0]
    return _dropped(changed, kept, dropout) if dropout else changed


def _middle(values: Tensor, state: KeySpec, exists: Tensor) -> Tensor:
    """Mean position `[B,2]` at the first step at which somebody is there; 0 where nobody is."""
    names = [f.name for f in state.features]
    first = exists.any(dim=2).int().argmax(dim=1)  # [B]
    rows = torch.arange(len(values), device=values.device)
    here = exists[rows, first][..., None]  # [B,A,1]
    at = values[rows, first][..., [names.index("x"), names.index("y")]]
    return (at * here).sum(dim=1) / here.sum(dim=1).clamp(min=1)


def _turned(values: Tensor, state: KeySpec, angle: Tensor, middle: Tensor) -> Tensor:
    """World-frame features of `[B,T,A,F]` after the scene was turned by `angle` `[B]` about `middle` `[B,2]`."""
    names = [f.name for f in state.features]
    columns = list(values.unbind(dim=-1))
    cos, sin = (f(angle)[:, None, None] for f in (torch.cos, torch.sin))
    for a, b in _VECTORS:
        if a in names and b in names:
            i, j = names.index(a), names.index(b)
            at = middle[:, :, None, None] if a == "x" else torch.zeros_like(middle)[:, :, None, None]
            dx, dy = columns[i] - at[:, 0], columns[j] - at[:, 1]
            columns[i], columns[j] = at[:, 0] + dx * cos - dy * sin, at[:, 1] + dx * sin + dy * cos
    for i, feature in enumerate(state.features):
        if feature.kind == "angle" and feature.frame == "world":
            columns[i] = wrap_tensor(columns[i] + angle[:, None, None])
    return torch.stack(columns, dim=-1)


def _dropped(batch: Batch, drawn: Tensor, dropout: float) -> Batch:
    """The batch without the agents whose number in `drawn` `[B,A]` is below `dropout`, but for the scored one with the largest."""
    scored = batch["agents.scored"] if "agents.scored" in batch else batch["agents.exists"].any(dim=1)
    last = torch.where(scored, drawn, -1.0).argmax(dim=1)
    gone = drawn < dropout
    gone[torch.arange(len(gone)), last] = False
    padding = {"agents.code": EXISTENCE_CODES.index("padding"), "agents.track": -1}
    changed = dict(batch)
    for key, value in batch.items():
        if key.startswith("agents."):
            mask = gone if value.dim() == 2 else gone[:, None].reshape(len(gone), 1, -1, *(1,) * (value.dim() - 3))
            changed[key] = value.masked_fill(mask, padding.get(key, 0))
    return changed


def _mirrored(values: Tensor, state: KeySpec, flipped: Tensor) -> Tensor:
    names = [f.name for f in state.features]
    order, sign = list(range(len(names))), torch.ones(len(names), device=values.device)
    for a, b in _SWAPPED:
        if a in names and b in names:
            i, j = names.index(a), names.index(b)
            order[i], order[j] = j, i
    for name in _NEGATED:
        if name in names:
            sign[names.index(name)] = -1
    return torch.where(flipped[:, None, None, None], values[..., order] * sign, values)


def _scaled(values: Tensor, state: KeySpec, factor: Tensor) -> Tensor:
    power = torch.tensor(
        [-1.0 if f.name in _PER_LENGTH else 1.0 if f.unit in _LENGTHS else 0.0 for f in state.features], device=values.device
    )
    # To first order: the lane turns over 20 m of an enlarged scene as it did over fewer metres of the original.
    return values * (factor[:, None] ** power)[:, None, None, :]
