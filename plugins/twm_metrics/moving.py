"""The metric `moving`: ADE and minADE of agents whose path over the predicted steps is as long as their mean speed must be at least."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_motion import MovingConfig
from twm_metrics.distances import of_futures, of_mean, positions, ratio


class Moving(Metric):
    """See the module."""

    def __init__(self, config: MovingConfig) -> None:
        self.speed = config.speed

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here, xy = truth.here, positions(truth)
        both = here[:, 1:] & here[:, :-1]
        path = torch.where(both, (xy[:, 1:] - xy[:, :-1]).norm(dim=-1), 0.0).sum(dim=1)
        known = both.sum(dim=1)
        moves = (known > 0) & (path >= self.speed * truth.dt * known)
        steps = here.sum(dim=1).clamp_min(1)
        mean = of_mean(forecast, truth).sum(dim=1) / steps
        best = (of_futures(forecast, truth).sum(dim=2) / steps[:, None]).amin(dim=1)
        columns = [torch.where(moves, mean, 0.0), torch.where(moves, best, 0.0), moves.double(), (known > 0).double()]
        return torch.stack(columns, dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        mean, best, moves, known = (totals[..., i] for i in range(4))
        return {"moving_ade": ratio(mean, moves), "moving_minade": ratio(best, moves), "moving_share": ratio(moves, known)}


def build(config: MovingConfig, specs: MetricSpecs) -> Moving:
    """The metric `moving`."""
    return Moving(config)
