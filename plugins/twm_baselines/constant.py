"""What stays constant: nothing moves, the velocity stays, or speed and yaw rate stay.

    zero velocity            p
    constant velocity        p + v t
    constant turn rate       the velocity turns by w t; its integral is an arc of radius |v| / w:
                             p + t sinc(w t) v + t sinc(w t / 2) sin(w t / 2) v_left,      sinc(a) = sin(a) / a

with v_left the velocity turned to the left by 90 degrees. The heading stays, or turns with the velocity. t counts from when an agent was
last seen (`observed`). One future, no randomness, nothing to learn.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from twm_baselines.config import ConstantTurnRateConfig, ConstantVelocityConfig, ZeroVelocityConfig
from twm_baselines.observed import Observed, columns, motion, observe, times
from twm_core.angles import wrap_tensor
from twm_core.data.dataset import Batch
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.specs import BaselineSpecs, ForecastSpec, ObservationSpec


class ZeroVelocity(Forecaster):
    """Everybody stays where they were last seen, heading included; velocities are 0."""

    def __init__(self, *, obs_spec: ObservationSpec, gives: ForecastSpec) -> None:
        self.obs_spec = obs_spec
        self.gives = gives

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        x, y, heading, vx, vy = motion(observe(observed), self.obs_spec)
        return one_future([x, y, heading, 0 * vx, 0 * vy], steps)


class ConstantVelocity(Forecaster):
    """Everybody keeps the last velocity, or the mean of the observed ones (of those that are known: `fresh` says which are not)."""

    def __init__(self, *, obs_spec: ObservationSpec, gives: ForecastSpec, estimate: Literal["last", "mean"]) -> None:
        self.obs_spec = obs_spec
        self.gives = gives
        self.estimate = estimate

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        found = observe(observed)
        x, y, heading, vx, vy = motion(found, self.obs_spec)
        if self.estimate == "mean":
            vx, vy = mean_velocity(found, self.obs_spec)
        t = times(found, steps)
        return one_future([x + vx * t, y + vy * t, heading, vx, vy], steps)


class ConstantTurnRate(Forecaster):
    """Everybody keeps speed and yaw rate."""

    def __init__(self, *, obs_spec: ObservationSpec, gives: ForecastSpec) -> None:
        self.obs_spec = obs_spec
        self.gives = gives

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        found = observe(observed)
        x, y, heading, vx, vy = motion(found, self.obs_spec)
        (w,) = columns(found.last, self.obs_spec, ("yaw_rate",))
        t = times(found, steps)
        angle = w[:, None] * t
        # sin(a)/w and (1 - cos(a))/w with their limits at w = 0.
        along = t * torch.sinc(angle / torch.pi)
        across = t * torch.sinc(angle / (2 * torch.pi)) * (angle / 2).sin()
        cos, sin = angle.cos(), angle.sin()
        turned = [vx * cos - vy * sin, vy * cos + vx * sin]
        return one_future([x + vx * along - vy * across, y + vy * along + vx * across, wrap_tensor(heading + angle), *turned], steps)


def one_future(parts: list[Tensor], steps: int) -> Forecast:
    """A single future of features `[B,H,A]` or `[B,1,A]` each."""
    whole = [p.expand(-1, steps, -1) for p in parts]
    return Forecast(states=torch.stack(whole, dim=-1)[:, None].float())


def mean_velocity(observed: Observed, obs_spec: ObservationSpec) -> list[Tensor]:
    """The mean of the known velocities of each agent, `[B,1,A]` for x and y; 0 where none is known."""
    known = observed.exists
    if any(f.name == "fresh" for f in obs_spec.get("agents.state").features):
        (fresh,) = columns(observed.state, obs_spec, ("fresh",))
        known = known & (fresh < 0.5)
    count = known.sum(dim=1, keepdim=True).clamp_min(1)
    return [torch.where(known, v, 0.0).sum(dim=1, keepdim=True) / count for v in columns(observed.state, obs_spec, ("vx", "vy"))]


def build_zero_velocity(config: ZeroVelocityConfig, specs: BaselineSpecs) -> ZeroVelocity:
    """The baseline `zero-velocity`."""
    return ZeroVelocity(obs_spec=specs.obs_spec, gives=config.gives(specs.obs_spec))


def build_constant_velocity(config: ConstantVelocityConfig, specs: BaselineSpecs) -> ConstantVelocity:
    """The baseline `constant-velocity`."""
    return ConstantVelocity(obs_spec=specs.obs_spec, gives=config.gives(specs.obs_spec), estimate=config.estimate)


def build_constant_turn_rate(config: ConstantTurnRateConfig, specs: BaselineSpecs) -> ConstantTurnRate:
    """The baseline `constant-turn-rate`."""
    return ConstantTurnRate(obs_spec=specs.obs_spec, gives=config.gives(specs.obs_spec))
