"""A soft penalty on positions beyond a boundary.

    range   sum over x and y of huber(metres outside the box)
    map     huber(metres off the drivable part of the raster), see `offroad`

The first `margin` metres cost nothing. The box is given, or it is the range of the positions in the training batches that training shows to
losses before its first step (kept as buffers, so that a checkpoint can be used alone; before any, nothing is outside).

Predictions one step ahead count where an agent exists at this step and at the one before; futures where it exists at the step and at
the last observed one. With a map, positions beyond the raster's edge, and rasters without any drivable pixel, are not counted: nothing
is known there.

What it does not do: look at the kind of agent. Where pedestrians are not meant to drive, use the range.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.schema import POSE as POSE_FEATURES
from twm_core.data.schema import RASTER_CHANNELS
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.distance import huber
from twm_losses.futures import futures
from twm_losses.masks import moved
from twm_losses.motion.config import POSE, POSITION, RASTER, BoundaryConfig
from twm_losses.motion.offroad import distance_field, sample

STATE, EXISTS = "agents.state", "agents.exists"
_HALF = 128
"""A pixel is drivable where at least half of it is."""


class _Field(NamedTuple):
    """Distances in pixels `[B,H,W]`, whether anything is drivable `[B]`, and poses `[B,4]` (x, y, heading, metres per pixel)."""

    distance: Tensor
    known: Tensor
    pose: Tensor


class Boundary(Loss):
    """Terms `prediction` and `rollout`.

    Args:
        config: Its options.
        truth: Where x and y stand in `agents.state` of the batch.
        decoded: Where they stand in what is decoded.
        pose: Where x, y, heading and metres per pixel stand in `map.pose`, where the boundary is the map's; else None.
    """

    low: Tensor
    high: Tensor

    def __init__(self, *, config: BoundaryConfig, truth: list[int], decoded: list[int], pose: list[int] | None) -> None:
        super().__init__()
        self.config = config
        self.truth = truth
        self.decoded = decoded
        self.pose = pose
        if pose is None:
            # Of data it holds the range so far; nothing so far is the empty range, from +inf to -inf.
            x0, x1, y0, y1 = config.box or (math.inf, -math.inf, math.inf, -math.inf)
            self.register_buffer("low", torch.tensor([x0, y0]))
            self.register_buffer("high", torch.tensor([x1, y1]))

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        field = None if self.pose is None else self._field(batch)
        if self.config.prediction > 0:
            mask = moved(batch)
            position = outputs.prediction[STATE].mean[:, 1:, :, self.decoded]
            terms["prediction"] = self.config.prediction * self._cost(position, mask, field)
        if self.config.futures > 0:
            made = futures(outputs.rollout, batch, self.config.rollout(), "boundary")
            position = made.decoded(STATE).mean[..., self.decoded]
            mask = made.here[:, None].expand(position.shape[:-1])
            terms["rollout"] = self.config.futures * self._cost(position, mask, field)
        return terms

    def _field(self, batch: Batch) -> _Field:
        drivable = batch[RASTER][:, RASTER_CHANNELS.index("drivable")] >= _HALF
        return _Field(distance_field(drivable), drivable.flatten(1).any(dim=1), batch[POSE][:, self.pose])

    def _cost(self, position: Tensor, mask: Tensor, field: _Field | None) -> Tensor:
        position = torch.where(mask[..., None], position, 0)
        if field is None:
            seen = self.low <= self.high
            low, high = torch.where(seen, self.low, -math.inf), torch.where(seen, self.high, math.inf)
            outside = (torch.maximum(low - position, position - high) - self.config.margin).relu()
            return masked_mean(huber(outside, self.config.beta).sum(dim=-1), mask)
        off, inside = sample(field.distance, field.pose, position)
        counted = mask & inside & field.known.view(-1, *(1,) * (mask.dim() - 1))
        return masked_mean(huber((off - self.config.margin).relu(), self.config.beta), counted)

    def collect_statistics(self, batch: Batch) -> None:
        if self.pose is not None or self.config.box is not None:
            return
        position = batch[STATE][..., self.truth][batch[EXISTS]]
        if len(position):
            self.low.copy_(torch.minimum(self.low, position.amin(dim=0)))
            self.high.copy_(torch.maximum(self.high, position.amax(dim=0)))


def build(config: BoundaryConfig, specs: LossSpecs) -> Boundary:
    """Build the loss for the features that the decoder returns, and for the map where there is one."""
    truth, decoded = specs.obs_spec.get(STATE), specs.output.get(STATE).features
    return Boundary(
        config=config,
        truth=[truth.index(n) for n in POSITION],
        decoded=[decoded.index(n) for n in POSITION],
        pose=[specs.obs_spec.get(POSE).index(f.name) for f in POSE_FEATURES] if config.on_map(specs.obs_spec) else None,
    )
