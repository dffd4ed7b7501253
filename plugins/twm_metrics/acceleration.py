"""The metric `acceleration`: a[h] = (p[h+1] - 2 p[h] + p[h-1]) / dt^2, of the forecast and of the log, and the mean distance between them.

It tells whether futures are as smooth as real ones: a mean future is smoother, independent noise in every step far rougher.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_motion import AccelerationConfig
from twm_metrics.distances import future_weights, positions, ratio


class Acceleration(Metric):
    """See the module."""

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here = truth.here[:, 2:] & truth.here[:, 1:-1] & truth.here[:, :-2]  # B H-2 A
        true = torch.where(here[..., None], _second(positions(truth), truth.dt), 0.0)
        guess = torch.where(here[:, None, ..., None], _second(forecast.states[..., :2].double().movedim(1, 0), truth.dt).movedim(0, 1), 0.0)
        weights = future_weights(forecast)[:, :, None]
        columns = [
            (weights * (guess - true[:, None]).norm(dim=-1)).sum(dim=(1, 2)),
            (weights * guess.norm(dim=-1)).sum(dim=(1, 2)),
            true.norm(dim=-1).sum(dim=1),
            here.sum(dim=1).double(),
        ]
        return torch.stack(columns, dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        names = ("acceleration_error", "acceleration", "acceleration_log")
        return {n: ratio(totals[..., i], totals[..., 3]) for i, n in enumerate(names)}


def _second(xy: Tensor, dt: float) -> Tensor:
    """`[...,H,A,2]` to accelerations `[...,H-2,A,2]`."""
    return (xy[..., 2:, :, :] - 2 * xy[..., 1:-1, :, :] + xy[..., :-2, :, :]) / dt**2


def build(config: AccelerationConfig, specs: MetricSpecs) -> Acceleration:
    """The metric `acceleration`."""
    return Acceleration()
