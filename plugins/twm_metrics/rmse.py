"""The metric `rmse`: sqrt(mean over agents of |mean p[h] - x[h]|^2) at each whole second, as the tables on NGSIM print it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config import shown_steps
from twm_metrics.config_motion import RMSEConfig
from twm_metrics.distances import of_mean, ratio


class RMSE(Metric):
    """See the module."""

    def __init__(self, specs: MetricSpecs) -> None:
        self.times = shown_steps(specs.obs_spec)

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        square, here = of_mean(forecast, truth).square(), truth.here.double()
        columns = [c for h, _ in self.times for c in (square[:, h], here[:, h])]
        return torch.stack(columns, dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        return {f"rmse@{s:g}s": np.sqrt(ratio(totals[..., 2 * i], totals[..., 2 * i + 1])) for i, (_, s) in enumerate(self.times)}


def build(config: RMSEConfig, specs: MetricSpecs) -> RMSE:
    """The metric `rmse`."""
    return RMSE(specs)
