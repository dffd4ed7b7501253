"""The metric `miss-rate`: the share of agents, there at the last step, with min over s of |p[s, H] - x[H]| above the radius."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_motion import MissRateConfig
from twm_metrics.distances import of_futures, ratio


class MissRate(Metric):
    """See the module."""

    def __init__(self, config: MissRateConfig) -> None:
        self.radius = config.radius

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        last = truth.here[:, -1]
        missed = last & (of_futures(forecast, truth)[:, :, -1].amin(dim=1) > self.radius)
        return torch.stack([missed.double(), last.double()], dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        return {"miss_rate": ratio(totals[..., 0], totals[..., 1])}


def build(config: MissRateConfig, specs: MetricSpecs) -> MissRate:
    """The metric `miss-rate`."""
    return MissRate(config)
