"""The metric `calibration`: whether what is said to happen so often does.

    PIT        where the truth stands among the futures, along and across the last observed movement: with F = sum_s w_s [p_s < x] and
               ties T = sum_s w_s [p_s = x], one unit of mass spread evenly from S F / (S + 1) to (S (F + T) + 1) / (S + 1). If S equally
               probable futures come from what really happens, all S + 1 ranks are as probable, and the histogram is flat however many
               bins it has (Dawid, "Statistical theory: the prequential approach", 1984; Talagrand's rank histogram). No random numbers.
    modes      the probability of each future, and how often that future was the one nearest to the truth (mean distance)
    existence  the probability that an agent is there, and how often it was

The PIT deviation is sum_k |share of bin k - 1/K| / 2, the mass that had to be moved to make the histogram flat: 0 is perfect, 1 - 1/K the
worst. ECE is sum over bins of (share of the bin) x |mean probability - frequency| (Naeini et al., "Obtaining well calibrated probabilities
using Bayesian binning", 2015).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Curve, Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_probabilistic import CalibrationConfig
from twm_metrics.crps import last_direction
from twm_metrics.distances import future_weights, of_futures, positions, ratio


class Calibration(Metric):
    """See the module."""

    def __init__(self, config: CalibrationConfig) -> None:
        self.bins = config.bins

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here, weights = truth.here, future_weights(forecast)
        gap = torch.where(here[:, None, ..., None], forecast.states[..., :2].double() - positions(truth)[:, None], 0.0)
        angle = last_direction(truth)[:, None, None]
        cos, sin = angle.cos(), angle.sin()
        columns: list[Tensor] = []
        share = weights.shape[1] / (weights.shape[1] + 1)
        for off in (gap[..., 0] * cos + gap[..., 1] * sin, gap[..., 1] * cos - gap[..., 0] * sin):
            low = torch.where(off < 0, weights[:, :, None], 0.0).sum(dim=1)
            tied = torch.where(off == 0, weights[:, :, None], 0.0).sum(dim=1)
            above = low + tied
            low, above = low * share, above * share + (1 - share)
            columns.append((_spread(low, above, self.bins) * here[..., None]).sum(dim=1))  # B A K
        steps = here.sum(dim=1)
        away = of_futures(forecast, truth).sum(dim=2)
        nearest = torch.zeros_like(away).scatter_(1, away.argmin(dim=1, keepdim=True), 1.0)
        known = (steps > 0)[:, None].expand_as(weights)
        columns.append(_reliability(weights, nearest, known, self.bins))
        said = torch.ones_like(here, dtype=torch.float64) if forecast.exists is None else forecast.exists.double().mean(dim=1)
        columns.append(_reliability(said, here.double(), torch.ones_like(here), self.bins))
        return torch.cat(columns, dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        along, across, modes, existence = self._parts(totals)
        pit = [_deviation(along), _deviation(across)]
        return {"pit_deviation": (pit[0] + pit[1]) / 2, "mode_ece": _ece(modes), "existence_ece": _ece(existence)}

    def curves(self, totals: Floats) -> Mapping[str, Curve]:
        """Histograms of the PIT and reliability diagrams."""
        along, across, modes, existence = self._parts(totals)
        middle = (np.arange(self.bins) + 0.5) / self.bins
        found: dict[str, Curve] = {}
        for name, held in (("along", along), ("across", across)):
            share = held / held.sum() * self.bins if held.sum() > 0 else held
            found[f"PIT {name} the last movement"] = Curve("share of futures on the near side of the truth", "density", middle, share, held)
        for name, held, of in (("futures", modes, "future"), ("existence", existence, "agent")):
            counts, said, hit = held[: self.bins], held[self.bins : 2 * self.bins], held[2 * self.bins :]
            some = counts > 0
            below = np.where(some, counts, 1.0)
            found[f"reliability of {name}"] = Curve(
                f"probability of {of}s", "how often", (said / below)[some], (hit / below)[some], counts[some]
            )
        return found

    def _parts(self, totals: Floats) -> list[Floats]:
        k = self.bins
        return np.split(totals, [k, 2 * k, 5 * k], axis=-1)


def _spread(low: Tensor, high: Tensor, bins: int) -> Tensor:
    """Mass 1 spread evenly over `[low, high]` in `[0, 1]`, in bins `[...,K]`."""
    edges = torch.linspace(0, 1, bins + 1, dtype=low.dtype)
    low, high = low[..., None], high[..., None].clamp_max(1)
    return (torch.minimum(high, edges[1:]) - torch.maximum(low, edges[:-1])).clamp_min(0) / (high - low)


def _reliability(said: Tensor, hit: Tensor, known: Tensor, bins: int) -> Tensor:
    """Count, sum of probabilities and sum of hits in each bin, `[B,N,A]` to `[B,A,3K]`."""
    which = torch.nn.functional.one_hot((said * bins).long().clamp(0, bins - 1), bins).double() * known[..., None]
    return torch.cat([(which * x[..., None]).sum(dim=1) for x in (torch.ones_like(said), said, hit)], dim=-1)


def _deviation(held: Floats) -> Floats:
    total = held.sum(axis=-1)
    share = held / np.where(total > 0, total, 1.0)[..., None]
    return np.where(total > 0, np.abs(share - 1 / held.shape[-1]).sum(axis=-1) / 2, np.nan)


def _ece(held: Floats) -> Floats:
    counts, said, hit = np.split(held, 3, axis=-1)
    return ratio(np.abs(said - hit).sum(axis=-1), counts.sum(axis=-1))


def build(config: CalibrationConfig, specs: MetricSpecs) -> Calibration:
    """The metric `calibration`."""
    return Calibration(config)
