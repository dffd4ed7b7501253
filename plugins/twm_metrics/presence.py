"""The metric `presence`: how many agents are said to be there, and when they are said to leave.

    count error   mean over steps of |sum over scored agents of P(there) - how many are there|, agents of a window
    exit error    |predicted exit - true exit| in seconds; the exit is the first step at which an agent is not there (probability at most
                  1/2), or one step after the last one for who stays

Scored agents are those that are there at the last observed step, so that there is nobody to enter among them: entries are not scored.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.specs import MetricSpecs
from twm_metrics.config import PresenceConfig
from twm_metrics.distances import ratio


class Presence(Metric):
    """See the module."""

    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        here, scored = truth.here, truth.scored
        said = torch.ones_like(here, dtype=torch.float64) if forecast.exists is None else forecast.exists.double().mean(dim=1)
        counted = scored[:, None]
        off = (torch.where(counted, said, 0.0).sum(dim=2) - (here & counted).sum(dim=2)).abs()  # B H
        late = (_exit(said > 0.5) - _exit(here)).abs().double() * truth.dt
        agents = scored.sum(dim=1).double()
        steps = torch.full_like(agents, here.shape[1]) * (agents > 0)
        columns = [torch.where(agents > 0, off.sum(dim=1), 0.0), steps, torch.where(scored, late, 0.0).sum(dim=1), agents]
        return torch.stack(columns, dim=-1).numpy()

    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        return {"count_error": ratio(totals[..., 0], totals[..., 1]), "exit_error": ratio(totals[..., 2], totals[..., 3])}


def _exit(here: Tensor) -> Tensor:
    """First step `[B,A]` at which an agent is not there, `H` if there is none."""
    return here.long().cumprod(dim=1).sum(dim=1)


def build(config: PresenceConfig, specs: MetricSpecs) -> Presence:
    """The metric `presence`."""
    return Presence()
