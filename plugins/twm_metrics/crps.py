"""The metric `crps`: sum_s w_s |p_s - x| - 1/2 sum_s,t w_s w_t |p_s - p_t| of one coordinate (Gneiting & Raftery, 2007), metres.

Coordinates are along and across the last observed movement; where an agent did not move a centimetre in the last observed step, or was
not there before it, along the axes of the world. What happens later decides nothing about the axes, or the score would not be proper. The
form is that of the ensemble as it is, not the fair one that corrects for its size: a set of futures is judged as the forecast that it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_probabilistic import CRPSConfig
from twm_metrics.distances import future_weights, positions, ratio

_MOVED = 0.01


class CRPS(Metric):
    """See the module."""

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here, true, weights = truth.here, positions(truth), future_weights(forecast)
        angle = last_direction(truth)[:, None]  # B 1 A
        gap = torch.where(here[:, None, ..., None], forecast.states[..., :2].double() - true[:, None], 0.0)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        columns: list[Tensor] = []
        for off in (gap[..., 0] * cos + gap[..., 1] * sin, gap[..., 1] * cos - gap[..., 0] * sin):
            columns += [torch.where(here, ensemble_crps(off, weights), 0.0).sum(dim=1), here.sum(dim=1).double()]
        return torch.stack(columns, dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        return {n: ratio(totals[..., 2 * i], totals[..., 2 * i + 1]) for i, n in enumerate(("crps_along", "crps_across"))}


def last_direction(truth: Truth) -> Tensor:
    """Angle of the last observed movement, radians `[B,A]`; 0 where there was none."""
    xy = truth.past[..., [truth.index("x"), truth.index("y")]].double()
    if xy.shape[1] < 2:
        return torch.zeros_like(xy[:, 0, :, 0])
    way = xy[:, -1] - xy[:, -2]
    moved = truth.past_exists[:, -1] & truth.past_exists[:, -2] & (way.norm(dim=-1) > _MOVED)
    return torch.atan2(torch.where(moved, way[..., 1], 0.0), torch.where(moved, way[..., 0], 1.0))


def ensemble_crps(off: Tensor, weights: Tensor) -> Tensor:
    """CRPS `[B,H,A]` of errors `[B,S,H,A]` with weights `[B,S,A]`.

    The double sum is taken in order of size: with values sorted and W the weights up to one, sum_s,t w_s w_t |p_s - p_t| =
    2 sum_s w_s p_s (2 W_s - w_s - 1).
    """
    ordered, order = off.sort(dim=1)
    w = weights[:, :, None].expand_as(off).gather(1, order)
    upto = w.cumsum(dim=1)
    spread = 2 * (w * ordered * (2 * upto - w - 1)).sum(dim=1)
    return (w * ordered.abs()).sum(dim=1) - 0.5 * spread


def build(config: CRPSConfig, specs: MetricSpecs) -> CRPS:
    """The metric `crps`."""
    return CRPS()
