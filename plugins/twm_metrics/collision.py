"""The metric `collision`: the probability that an agent touches another one within the predicted steps, in futures and in the log.

Two agents touch in a future where their signed distance is negative at some step at which the log has both. Agents have the length and
width of the data, turned by their heading, as rectangles; those of data without sizes are discs. Futures count with the probability of the
agent that is looked at: future s of an agent is put beside future s of all others, which is what a joint forecast means, and chance where
a forecaster draws agents one by one. The others are those that were there at the last observed step: who enters later is in no future.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from twm_core.evaluation.boxes import nearest_distance
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.headings import headings_of
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_motion import CollisionConfig
from twm_metrics.distances import future_weights, ratio


class Collision(Metric):
    """See the module."""

    def __init__(self, config: CollisionConfig, specs: MetricSpecs) -> None:
        self.radius = config.radius
        self.states = specs.forecast.states

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        rows = [self._window(b, forecast, truth) for b in range(len(truth.scored))]
        return np.concatenate(rows) if rows else np.zeros((0, 3))

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        touched, log, known = (totals[..., i] for i in range(3))
        return {"collision_rate": ratio(touched, known), "collision_rate_log": ratio(log, known)}

    def _window(self, b: int, forecast: Forecast, truth: Truth) -> Floats:
        who = (truth.past_exists[b, -1] | truth.scored[b]).nonzero()[:, 0]
        mine = truth.scored[b, who].nonzero()[:, 0]
        if not len(mine):
            return np.zeros((0, 3))
        here = truth.here[b][:, who]  # H A
        size, boxes = _sizes(b, truth, who, self.radius)
        guess = torch.where(here[None, ..., None], forecast.states[b][:, :, who].double(), 0.0)
        log = torch.where(here[..., None], truth.states[b][:, who].double(), 0.0)
        angle, true = torch.zeros_like(guess[..., 0]), torch.zeros_like(log[..., 0])
        if boxes:
            true = log[..., truth.index("heading")]
            angle = guess[..., self.states.index("heading")] if "heading" in self.states else self._turned(b, guess, truth, who)
        futures = torch.cat([guess[..., :2], angle[..., None]], dim=-1)
        happened = torch.stack([log[..., truth.index("x")], log[..., truth.index("y")], true], dim=-1)
        pose = torch.cat([futures, happened[None]])  # S+1 H A 3
        around = here.expand(len(pose), -1, -1).reshape(-1, len(who))
        near = nearest_distance(pose.reshape(-1, len(who), 3), size, around, mine, 0.0 if boxes else 1.0)
        touch = ((near.reshape(*pose.shape[:2], -1) < 0) & here[:, mine]).any(dim=1).double()  # S+1 M
        weight = future_weights(forecast)[b][:, who[mine]]
        known = here[:, mine].any(dim=0).double()
        return torch.stack([(weight * touch[:-1]).sum(dim=0), touch[-1], known], dim=-1).numpy()

    def _turned(self, b: int, guess: Tensor, truth: Truth, who: Tensor) -> Tensor:
        past = truth.past[b][:, who][..., [truth.index(n) for n in ("x", "y", "heading")]].double()
        now = past[-1]
        before = past[-2, :, :2] if len(past) > 1 else now[:, :2]
        if len(past) > 1:
            before = torch.where(truth.past_exists[b, -2, who, None], before, now[:, :2])
        return headings_of(guess[..., :2], now[:, :2], before, now[:, 2], truth.dt)


def _sizes(b: int, truth: Truth, who: Tensor, radius: float) -> tuple[Tensor, bool]:
    """Length and width `[A,2]`, and whether they are those of boxes."""
    if {"length", "width", "heading"} <= set(truth.features):
        size = truth.past[b, -1, who][:, [truth.index("length"), truth.index("width")]].double()
        if len(who) and bool((size > 0).all()):
            return size, True
    return torch.full((len(who), 2), 2 * radius, dtype=torch.float64), False


def build(config: CollisionConfig, specs: MetricSpecs) -> Collision:
    """The metric `collision`."""
    return Collision(config, specs)
