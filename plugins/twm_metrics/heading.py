"""The metric `heading`: mean absolute difference of angles, wrapped to (-pi, pi], of headings and of directions of motion.

Directions count where the true agent moves; forecasts that stand have direction 0 by `atan2(0, 0)` and count as such.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_motion import HeadingConfig
from twm_metrics.distances import future_weights, ratio


class Heading(Metric):
    """See the module."""

    def __init__(self, config: HeadingConfig, specs: MetricSpecs) -> None:
        self.speed = config.speed
        self.heading, self.vx, self.vy = (specs.forecast.states.index(n) for n in ("heading", "vx", "vy"))

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here, weights = truth.here, future_weights(forecast)[:, :, None]  # B S 1 A
        true = torch.where(here[..., None], truth.states[..., [truth.index(n) for n in ("heading", "vx", "vy")]].double(), 0.0)
        guess = torch.where(here[:, None, ..., None], forecast.states[..., [self.heading, self.vx, self.vy]].double(), 0.0)
        moves = here & (true[..., 1:].norm(dim=-1) >= self.speed)
        turned = _apart(guess[..., 0], true[:, None, ..., 0])
        aside = _apart(torch.atan2(guess[..., 2], guess[..., 1]), torch.atan2(true[..., 2], true[..., 1])[:, None])
        columns: list[Tensor] = []
        for off, who in ((turned, here), (aside, moves)):
            columns += [torch.where(who, (weights * off).sum(dim=1), 0.0).sum(dim=1), who.sum(dim=1).double()]
        return torch.stack(columns, dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        return {n: ratio(totals[..., 2 * i], totals[..., 2 * i + 1]) for i, n in enumerate(("heading_error", "direction_error"))}


def _apart(a: Tensor, b: Tensor) -> Tensor:
    return wrap_tensor(a - b).abs()


def build(config: HeadingConfig, specs: MetricSpecs) -> Heading:
    """The metric `heading`."""
    return Heading(config, specs)
