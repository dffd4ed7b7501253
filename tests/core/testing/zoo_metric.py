"""A healthy metric, mean and last distance of the mean future, and what may be wrong with one."""

from __future__ import annotations

import numpy as np
import torch
from zoo_configs import ZooMetric

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs


class ZooMetricModel(Metric):
    def __init__(self, config: ZooMetric, specs: MetricSpecs) -> None:
        self.fault = config.fault
        self.calls = 0

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        fault, here = self.fault, truth.here
        xy = truth.states[..., [truth.index("x"), truth.index("y")]]
        if fault != "reads who is not there":
            xy = torch.where(here[..., None], xy, 0)
        if fault == "writes into the truth":
            truth.states.clamp_(-5, 5)
        error = (forecast.mean() - xy).norm(dim=-1).double()  # B H A
        if fault == "minds equal weights" and forecast.weights is None:
            error = (forecast.states[..., :2] - xy[:, None]).norm(dim=-1).double().amin(dim=1)
        if fault == "looks at the batch":
            error = error - torch.where(here, error, 0).sum() / here.sum().clamp_min(1)
        if fault == "weighs slots by their number":
            error = error * torch.arange(error.shape[2])
        if fault == "averages over slots":
            error = error / error.shape[2]
        if fault == "is never content":
            error = error + 0.1
        if fault == "counts its calls":
            self.calls += 1
            error = error + self.calls
        if fault == "draws from the global generator":
            error = error + torch.rand(())
        error = error * here if fault == "reads who is not there" else torch.where(here, error, 0)
        steps = here.sum(dim=1)
        mean = error.sum(dim=1) / (steps if fault == "divides by nobody" else steps.clamp_min(1))
        last = here[:, -1].double()
        columns = torch.stack([mean, (steps > 0).double(), error[:, -1] * last, last], dim=-1)  # B A 4
        if fault == "counts everybody":
            return columns.flatten(0, 1).numpy()
        rows = columns[truth.scored].numpy()
        return rows.astype(np.float32) if fault == "sums in single precision" else rows

    def finish(self, totals: Floats) -> dict[str, Floats]:
        if self.fault == "finishes one at a time":
            totals = totals.reshape(-1, 4).sum(axis=0)
        if self.fault == "warns of nothing":
            mean, last = totals[..., 0] / totals[..., 1], totals[..., 2] / totals[..., 3]
        else:
            with np.errstate(invalid="ignore"):
                mean, last = totals[..., 0] / totals[..., 1], totals[..., 2] / totals[..., 3]
        if self.fault == "says that nothing is perfect":
            mean, last = np.nan_to_num(mean), np.nan_to_num(last)
        names = ("last_error", "mean_error") if self.fault == "swaps its scores" else ("mean_error", "last_error")
        return dict(zip(names, (mean, last), strict=True))


def build(config: ZooMetric, specs: MetricSpecs) -> ZooMetricModel:
    return ZooMetricModel(config, specs)
