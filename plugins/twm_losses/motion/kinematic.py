"""Consistency of decoded positions with decoded velocities, and limits of what agents can do.

From one step to the next, with positions p, velocities v, headings h and a step of dt seconds,

    gap           = p' - p - dt (v + v') / 2                  (or dt v', with `rule = "backward"`)
    acceleration  = max(0, |v' - v| / dt - max_acceleration)
    yaw rate      = max(0, |wrap(h' - h)| / dt - max_yaw_rate)

each with Huber over it (`beta` metres for the gap, one unit for the others). None of them compares with the truth at the later step.

* A prediction one step ahead is compared with the true state one step before it, which is what it starts from.
* A future is compared along itself; its first step with the last observed state.

Counted where an agent exists at both steps and, in futures, at the last observed one.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_core.data.dataset import Batch
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.specs import LossSpecs
from twm_losses.distance import huber, huber_distance
from twm_losses.futures import futures
from twm_losses.masks import moved
from twm_losses.motion.config import HEADING, POSITION, VELOCITY, KinematicConfig

STATE = "agents.state"


class Columns(NamedTuple):
    """Where features stand in a state: x, y, vx, vy and, where yaw rates are limited, the heading."""

    position: list[int]
    velocity: list[int]
    heading: list[int]

    @property
    def all(self) -> list[int]:
        """All of them, in the order x, y, vx, vy, heading."""
        return [*self.position, *self.velocity, *self.heading]


class Kinematic(Loss):
    """Terms `prediction` and `rollout` (the gap), each with `_acceleration` and `_yaw_rate` where these have a factor.

    Args:
        config: Its options.
        truth: Where the features stand in `agents.state` of the batch.
        decoded: Where they stand in what is decoded.
    """

    def __init__(self, *, config: KinematicConfig, truth: Columns, decoded: Columns) -> None:
        super().__init__()
        self.config = config
        self.truth = truth
        self.decoded = decoded

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        dt = batch["dt"]
        if self.config.prediction > 0:
            mask = moved(batch)
            before = torch.where(mask[..., None], batch[STATE][:, :-1, :, self.truth.all], 0)
            after = torch.where(mask[..., None], outputs.prediction[STATE].mean[:, 1:, :, self.decoded.all], 0)
            terms.update(self._terms("prediction", self.config.prediction, before, after, dt.view(-1, 1, 1), mask))
        if self.config.futures > 0:
            made = futures(outputs.rollout, batch, self.config.rollout(), "kinematic")
            here = made.here[:, None]  # B 1 H A
            mask = here & torch.cat([made.began[:, None, None], here[:, :, :-1]], dim=2)
            state = made.decoded(STATE).mean[..., self.decoded.all]
            origin = made.origin(batch, self.truth.all)[:, None, None].expand(-1, made.samples, -1, -1, -1)
            before = torch.where(mask[..., None], torch.cat([origin, state[:, :, :-1]], dim=2), 0)
            after = torch.where(mask[..., None], state, 0)
            terms.update(self._terms("rollout", self.config.futures, before, after, dt.view(-1, 1, 1, 1), mask))
        return terms

    def _terms(self, name: str, factor: float, before: Tensor, after: Tensor, dt: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Terms of steps from `before` to `after` (x, y, vx, vy, heading; 0 where the mask is false)."""
        config, mask = self.config, mask.expand(after.shape[:-1])
        change = after - before
        velocity = after[..., 2:4] if config.rule == "backward" else (before[..., 2:4] + after[..., 2:4]) / 2
        gap = huber_distance(change[..., :2] - dt[..., None] * velocity, config.beta)
        terms = {name: factor * masked_mean(gap, mask)}
        if config.acceleration > 0:
            size = (change[..., 2:4].square().sum(dim=-1) + 1e-12).sqrt() / dt
            excess = huber((size - config.max_acceleration).relu(), 1.0)
            terms[f"{name}_acceleration"] = factor * config.acceleration * masked_mean(excess, mask)
        if config.yaw_rate > 0:
            turned = wrap_tensor(change[..., 4]).abs() / dt
            excess = huber((turned - config.max_yaw_rate).relu(), 1.0)
            terms[f"{name}_yaw_rate"] = factor * config.yaw_rate * masked_mean(excess, mask)
        return terms


def build(config: KinematicConfig, specs: LossSpecs) -> Kinematic:
    """Build the loss for the features that the decoder returns."""
    seen, decoded = specs.obs_spec.get(STATE), specs.output.get(STATE).features
    names = (POSITION, VELOCITY, (HEADING,) if config.yaw_rate > 0 else ())
    truth = Columns(*([seen.index(n) for n in group] for group in names))
    return Kinematic(config=config, truth=truth, decoded=Columns(*([decoded.index(n) for n in group] for group in names)))
