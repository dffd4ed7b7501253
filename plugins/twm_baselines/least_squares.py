"""The line that fits the observed positions of an agent best: least squares over the steps at which it was there.

    v = sum (t - mean t) (p - mean p) / sum (t - mean t)^2,      forecast  mean p + v (t - mean t)

An agent seen once stays there. The line need not pass through the last position. Its heading stays the last observed one.
"""

from __future__ import annotations

import torch

from twm_baselines.config import LeastSquaresConfig
from twm_baselines.constant import one_future
from twm_baselines.observed import columns, motion, observe
from twm_core.data.dataset import Batch
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.specs import BaselineSpecs, ForecastSpec, ObservationSpec


class LeastSquares(Forecaster):
    """Everybody goes on along their line."""

    def __init__(self, *, obs_spec: ObservationSpec, gives: ForecastSpec) -> None:
        self.obs_spec = obs_spec
        self.gives = gives

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        found = observe(observed)
        context = found.exists.shape[1]
        _, _, heading, _, _ = motion(found, self.obs_spec)
        xy = torch.stack(columns(found.state, self.obs_spec, ("x", "y")), dim=-1).double()  # B C A 2
        here = found.exists.double()
        dt = found.dt.double()
        t = (torch.arange(context, device=dt.device) - (context - 1)) * dt[:, None]  # B C
        count = here.sum(dim=1).clamp_min(1)  # B A
        mean_t = (here * t[..., None]).sum(dim=1) / count
        mean = xy.sum(dim=1) / count[..., None]  # positions are 0 where nobody is
        off = here * (t[..., None] - mean_t[:, None])  # B C A
        spread = off.square().sum(dim=1)
        slope = (off[..., None] * (xy - mean[:, None])).sum(dim=1) / torch.where(spread > 0, spread, 1.0)[..., None]  # B A 2
        ahead = torch.arange(1, steps + 1, device=dt.device)[None, :, None] * dt[:, None, None] - mean_t[:, None]  # B H A
        x, y = (mean[:, None, :, i] + slope[:, None, :, i] * ahead for i in range(2))
        return one_future([x, y, heading, slope[:, None, :, 0], slope[:, None, :, 1]], steps)


def build(config: LeastSquaresConfig, specs: BaselineSpecs) -> LeastSquares:
    """The baseline `least-squares`."""
    return LeastSquares(obs_spec=specs.obs_spec, gives=config.gives(specs.obs_spec))
