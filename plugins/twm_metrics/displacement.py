"""The metric `displacement`: for agent i with futures p[s, h], truth x[h] and steps H_i at which it is there, metres:

    ADE     mean over H_i of |mean_s p[s, h] - x[h]|              FDE     the same at the last predicted step, if it is there
    minADE  min over s of the mean over H_i of |p[s, h] - x[h]|   minFDE  min over s of |p[s, H] - x[H]|

ADE and FDE are minimised independently, as the tables of the field do.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config import DisplacementConfig, shown_steps
from twm_metrics.distances import of_futures, of_mean, ratio


class Displacement(Metric):
    """See the module."""

    def __init__(self, specs: MetricSpecs) -> None:
        self.times = shown_steps(specs.obs_spec)

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        each, mean, here = of_futures(forecast, truth), of_mean(forecast, truth), truth.here.double()
        steps = here.sum(dim=1)  # B A
        there, last = (steps > 0).double(), here[:, -1]
        average = each.sum(dim=2) / steps.clamp_min(1)[:, None]
        columns: list[Tensor] = [mean.sum(dim=1) / steps.clamp_min(1), there, mean[:, -1], last]
        columns += [average.amin(dim=1), there, each[:, :, -1].amin(dim=1), last]
        columns += [c for h, _ in self.times for c in (mean[:, h], here[:, h])]
        for h, _ in self.times:
            until = here[:, : h + 1].sum(dim=1)
            columns += [mean[:, : h + 1].sum(dim=1) / until.clamp_min(1), (until > 0).double()]
        return torch.stack(columns, dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        names = ["ade", "fde", "minade", "minfde", *(f"{n}@{s:g}s" for n in ("error", "ade") for _, s in self.times)]
        return {n: ratio(totals[..., 2 * i], totals[..., 2 * i + 1]) for i, n in enumerate(names)}


def build(config: DisplacementConfig, specs: MetricSpecs) -> Displacement:
    """The metric `displacement`."""
    return Displacement(specs)
