"""Constant velocity in drawn directions: for each future and agent the last velocity is turned by one angle from N(0, sigma^2).

    p + R(a) v t,      a ~ N(0, sigma^2),      mean position  p + exp(-sigma^2 / 2) v t

because E[cos a] = exp(-sigma^2 / 2) and E[sin a] = 0. With sigma = 25 degrees and 20 futures this is the model of Schöller, Aravantinos,
Lay and Knoll, "What the constant velocity model can teach us about pedestrian motion prediction" (RA-L 2020). With `straight` the first
future is not turned, so that one of them is constant velocity itself; of S futures the mean is then that of one straight and S - 1 drawn
ones. All positions lie on a circle, so there is no density.
"""

from __future__ import annotations

import math

import torch

from twm_baselines.config import SampledConstantVelocityConfig
from twm_baselines.observed import motion, observe, times
from twm_core.angles import wrap_tensor
from twm_core.data.dataset import Batch
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.specs import BaselineSpecs, ForecastSpec, ObservationSpec


class SampledConstantVelocity(Forecaster):
    """Everybody keeps the last speed, each future in a direction of its own.

    Args:
        obs_spec: Spec of the batches.
        gives: Spec of the forecasts.
        sigma: Standard deviation of the direction, radians.
        straight: Whether the first future keeps the direction.
    """

    def __init__(self, *, obs_spec: ObservationSpec, gives: ForecastSpec, sigma: float, straight: bool) -> None:
        self.obs_spec = obs_spec
        self.gives = gives
        self.sigma = sigma
        self.straight = straight

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        found = observe(observed)
        x, y, heading, vx, vy = (c[:, None] for c in motion(found, self.obs_spec))  # B 1 1 A
        t = times(found, steps)[:, None]  # B 1 H A
        size, agents = x.shape[0], x.shape[-1]
        angle = self.sigma * torch.randn((size, samples, 1, agents), generator=generator, device=generator.device).to(x.device)
        if self.straight:
            angle[:, 0] = 0
        cos, sin = angle.cos(), angle.sin()
        wx, wy = vx * cos - vy * sin, vx * sin + vy * cos  # B S 1 A
        parts = [x + wx * t, y + wy * t, wrap_tensor(heading + angle), wx, wy]
        states = torch.stack([p.expand(-1, -1, steps, -1) for p in parts], dim=-1)
        kept = int(self.straight)
        shrink = (kept + (samples - kept) * math.exp(-(self.sigma**2) / 2)) / samples
        expected = torch.stack([x + shrink * vx * t, y + shrink * vy * t], dim=-1)[:, 0]
        return Forecast(states=states.float(), expected=expected)


def build(config: SampledConstantVelocityConfig, specs: BaselineSpecs) -> SampledConstantVelocity:
    """The baseline `sampled-constant-velocity`."""
    return SampledConstantVelocity(
        obs_spec=specs.obs_spec, gives=config.gives(specs.obs_spec), sigma=math.radians(config.sigma), straight=config.straight
    )
