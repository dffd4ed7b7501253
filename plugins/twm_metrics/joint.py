"""The metric `joint-displacement`: one future for all scored agents of a window, the best one.

minJointADE   min over s of the mean over scored agents of their ADE         minJointFDE   likewise at the last step
joint miss    no future has all scored agents within the radius at the last step
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config import JointDisplacementConfig
from twm_metrics.distances import of_futures, ratio


class JointDisplacement(Metric):
    """See the module."""

    def __init__(self, config: JointDisplacementConfig) -> None:
        self.radius = config.radius

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        each, steps = of_futures(forecast, truth), truth.here.sum(dim=1)
        counted, last = truth.scored & (steps > 0), truth.scored & truth.here[:, -1]
        average = each.sum(dim=2) / steps.clamp_min(1)[:, None]
        end = each[:, :, -1]
        columns: list[Tensor] = []
        for value, who in ((average, counted), (end, last)):
            known = who.sum(dim=1)
            mean = torch.where(who[:, None], value, 0.0).sum(dim=2) / known.clamp_min(1)[:, None]
            columns += [mean.amin(dim=1), (known > 0).double()]
        hit = ((end <= self.radius) | ~last[:, None]).all(dim=2).any(dim=1)
        columns += [(~hit & last.any(dim=1)).double(), last.any(dim=1).double()]
        return torch.stack(columns, dim=-1).numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        names = ("minjointade", "minjointfde", "joint_miss_rate")
        return {n: ratio(totals[..., 2 * i], totals[..., 2 * i + 1]) for i, n in enumerate(names)}


def build(config: JointDisplacementConfig, specs: MetricSpecs) -> JointDisplacement:
    """The metric `joint-displacement`."""
    return JointDisplacement(config)
