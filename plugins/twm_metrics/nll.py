"""The metric `nll`: how probable the true positions were, in nats for a position.

    kde_nll       -log of a Gaussian kernel density of the S futures of an agent at a step, evaluated at its true position:
                  p(x) = sum_s w_s N(x; p_s, n^(-1/3) C),   C the covariance of the futures, n = 1 / sum w_s^2 their effective number
    density_nll   -log of the forecaster's own density, where it has one

Scott's rule in two dimensions gives the factor n^(-1/(d+4)) = n^(-1/6) on deviations (Scott, "Multivariate density estimation", 1992).
The eigenvalues of C have a floor, without which futures that agree would have an infinite density, and log-densities a least value, as
usual for this number on ETH/UCY (Ivanovic & Pavone, "The Trajectron", 2019). Averaged over the steps at which an agent is there, then over
agents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config_probabilistic import NLLConfig
from twm_metrics.distances import future_weights, positions, ratio


class NLL(Metric):
    """See the module."""

    def __init__(self, config: NLLConfig, specs: MetricSpecs) -> None:
        self.floor, self.least = config.floor, config.least
        self.several = specs.forecast.several

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here, true = truth.here, positions(truth)
        steps = here.sum(dim=1).clamp_min(1)
        there = (here.sum(dim=1) > 0).double()
        nothing = torch.zeros_like(there)
        columns: list[Tensor] = [nothing, nothing, nothing, nothing]
        if self.several:
            guess = torch.where(here[:, None, ..., None], forecast.states[..., :2].double(), 0.0)
            found = kernel_log_density(guess, future_weights(forecast), true, floor=self.floor).clamp_min(self.least)
            columns[:2] = [torch.where(here, -found, 0.0).sum(dim=1) / steps, there]
        if forecast.log_density is not None:
            own = forecast.log_density(true.float()).double()
            own = torch.where(here, own, 0.0).clamp_min(self.least)
            columns[2:] = [-own.sum(dim=1) / steps, there]
        return torch.stack(columns, dim=-1)[truth.scored].numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        return {"kde_nll": ratio(totals[..., 0], totals[..., 1]), "density_nll": ratio(totals[..., 2], totals[..., 3])}


def kernel_log_density(futures: Tensor, weights: Tensor, at: Tensor, *, floor: float) -> Tensor:
    """Log-density `[B,H,A]` of positions under a kernel density of futures; see the module.

    Args:
        futures: `[B,S,H,A,2]`.
        weights: `[B,S,A]`, adding to 1 over `S`.
        at: Where, `[B,H,A,2]`.
        floor: Least standard deviation of the futures along an axis, metres.
    """
    w = weights[:, :, None]  # B S 1 A
    centre = (w[..., None] * futures).sum(dim=1)
    off = futures - centre[:, None]
    xx, yy = (w * off[..., 0].square()).sum(dim=1), (w * off[..., 1].square()).sum(dim=1)
    xy = (w * off[..., 0] * off[..., 1]).sum(dim=1)
    # Eigenvalues and axes of a symmetric 2 x 2 matrix in closed form.
    middle, half = (xx + yy) / 2, (((xx - yy) / 2).square() + xy.square()).sqrt()
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)
    factor = weights.square().sum(dim=1)[:, None].pow(1 / 3)  # n^(-1/3), B 1 A
    major, minor = (((middle + s * half).clamp_min(floor**2)) * factor for s in (1, -1))
    gap = at[:, None] - futures
    along = gap[..., 0] * angle.cos()[:, None] + gap[..., 1] * angle.sin()[:, None]
    across = gap[..., 1] * angle.cos()[:, None] - gap[..., 0] * angle.sin()[:, None]
    each = -0.5 * (along.square() / major[:, None] + across.square() / minor[:, None])
    norm = math.log(2 * math.pi) + 0.5 * (major.log() + minor.log())
    return torch.logsumexp(each + w.clamp_min(1e-300).log(), dim=1) - norm


def build(config: NLLConfig, specs: MetricSpecs) -> NLL:
    """The metric `nll`."""
    return NLL(config, specs)
