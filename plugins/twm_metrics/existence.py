"""The metric `existence`: F1 = 2 hits / (2 hits + false alarms + misses) of "this agent is there", over agents and predicted steps."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config import ExistenceConfig
from twm_metrics.distances import ratio


class Existence(Metric):
    """See the module."""

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here = truth.here
        claimed = torch.ones_like(here) if forecast.exists is None else forecast.exists.mean(dim=1) > 0.5
        columns = [(claimed & here), (claimed & ~here), (~claimed & here)]
        return torch.stack([c.sum(dim=1).double() for c in columns], dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        hits, alarms, misses = (totals[..., i] for i in range(3))
        return {"f1": ratio(2 * hits, 2 * hits + alarms + misses)}


def build(config: ExistenceConfig, specs: MetricSpecs) -> Existence:
    """The metric `existence`."""
    return Existence()
