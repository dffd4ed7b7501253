"""The metric `energy-score`: ES = sum_s w_s |p_s - x| - 1/2 sum_s,t w_s w_t |p_s - p_t|, of whole trajectories.

|.| is the root mean square over the steps at which an agent is there, in metres: the Euclidean norm of the trajectory over the root of
their number. A strictly proper score, in the form of an ensemble (Gneiting & Raftery, "Strictly proper scoring rules, prediction, and
estimation", 2007): a set of futures is best when it is drawn from what really happens, neither too narrow nor too wide. Of one future it
is the distance.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_probabilistic import EnergyScoreConfig
from twm_metrics.distances import future_weights, of_futures, ratio


class EnergyScore(Metric):
    """See the module."""

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here, weights = truth.here, future_weights(forecast)
        steps = here.sum(dim=1)
        away = (of_futures(forecast, truth).square().sum(dim=2) / steps.clamp_min(1)[:, None]).sqrt()  # B S A
        first = (weights * away).sum(dim=1)
        guess = torch.where(here[:, None, ..., None], forecast.states[..., :2].double(), 0.0)
        second = torch.zeros_like(first)
        for s in range(guess.shape[1]):  # one future against all: memory stays that of the forecast
            apart = (guess - guess[:, s : s + 1]).square().sum(dim=(2, -1)) / steps.clamp_min(1)[:, None]
            second = second + weights[:, s] * (weights * apart.sqrt()).sum(dim=1)
        there = (steps > 0).double()
        return torch.stack([(first - 0.5 * second) * there, there], dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        return {"energy_score": ratio(totals[..., 0], totals[..., 1])}


def build(config: EnergyScoreConfig, specs: MetricSpecs) -> EnergyScore:
    """The metric `energy-score`."""
    return EnergyScore()
