"""Augmentation of traffic batches in training: mirror images and other sizes of the same scene.

A mirrored scene is one with y pointing the other way: what lies to the left lies to the right. A scene scaled by s has all lengths,
speeds and accelerations times s at the same times ("time-consistent": turning rates stay). Both hold for the whole window, observed and
predicted steps alike, so they keep it a possible recording. Lane tokens name lanes of the real road, so a mirrored scene has none. A map
raster goes along: a mirrored one is turned over (rows in reverse) and lies where the mirror puts it, a scaled one has larger pixels.

Features are addressed by name and unit through the spec.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.specs import KeySpec

_NEGATED = ("y", "vy", "ay", "heading", "yaw_rate", "lane_offset", "lane_angle", "lane_turn_20", "lane_turn_50")
_SWAPPED = (("lane_left", "lane_right"),)
_LENGTHS = ("m", "m/s", "m/s^2")  # metres_per_pixel of a raster's pose is a length too
_PER_LENGTH = ("lane_turn_20", "lane_turn_50")


def augment_traffic(
    batch: Batch, state: KeySpec, *, mirror: float, scale: float, generator: torch.Generator, pose: KeySpec | None = None
) -> Batch:
    """A batch of the same windows, each mirrored with probability `mirror` and scaled by a factor in [1 / (1 + scale), 1 + scale].

    Args:
        batch: Batch with `agents.state` `[B,T,A,F]`; it is left as it is.
        state: Spec of `agents.state`.
        mirror: Probability of a mirror image.
        scale: Largest enlargement; the factor is log-uniform. 0 leaves sizes alone.
        generator: Source of the draws; the same number is drawn whatever the options are.
        pose: Spec of `map.pose`, for batches with a map raster.
    """
    size = len(batch["agents.state"])
    drawn = torch.rand(2, size, generator=generator, device=generator.device).to(batch["agents.state"].device)
    flipped, factor = drawn[0] < mirror, (1 + scale) ** (2 * drawn[1] - 1)
    changed = dict(batch)
    changed["agents.state"] = _scaled(_mirrored(batch["agents.state"], state, flipped), state, factor)
    if "agents.lane" in batch:
        changed["agents.lane"] = torch.where(flipped[:, None, None], 0, batch["agents.lane"])
    if pose is not None:
        # As one agent at one step: [B,4] -> [B,1,1,4].
        moved = _scaled(_mirrored(batch["map.pose"][:, None, None], pose, flipped), pose, factor)
        changed["map.pose"] = moved[:, 0, 0]
        raster = batch["map.raster"]
        changed["map.raster"] = torch.where(flipped[:, None, None, None], raster.flip(-2), raster)
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
