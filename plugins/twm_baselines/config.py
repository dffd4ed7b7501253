"""Configs of the baselines that move each agent by itself. Imports neither torch nor numpy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core.data.schema import MOTION
from twm_core.errors import Mismatch
from twm_core.kinds.baseline import BaselineConfig
from twm_core.specs import ForecastSpec, ObservationSpec


def lacking(obs_spec: ObservationSpec, features: tuple[str, ...]) -> Mismatch | None:
    """What batches lack of agents with these features."""
    if not obs_spec.has("agents.state"):
        return Mismatch(needs="agents (key 'agents.state')", got=obs_spec.describe())
    known = [f.name for f in obs_spec.get("agents.state").features]
    missing = [n for n in features if n not in known]
    if missing:
        return Mismatch(needs=f"features {', '.join(missing)} of agents", got=f"features {', '.join(known)}")
    return None


class MotionConfig(BaselineConfig):
    """A baseline that needs what every traffic dataset has, and forecasts position, heading and velocity."""

    def accepts(self, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs agents with position, heading and velocity."""
        return lacking(obs_spec, MOTION)

    def gives(self, obs_spec: ObservationSpec) -> ForecastSpec:
        """One future of position, heading and velocity."""
        return ForecastSpec(states=MOTION)


class ZeroVelocityConfig(MotionConfig):
    """Everybody stays."""


class ConstantVelocityConfig(MotionConfig):
    """Everybody keeps a velocity."""

    estimate: Literal["last", "mean"] = Field(
        "last", description="The last observed velocity, or the mean of all observed ones that are known (`fresh` ones are not)."
    )


class SampledConstantVelocityConfig(MotionConfig):
    """Constant velocity in drawn directions."""

    sigma: float = Field(25.0, gt=0, description="Standard deviation of the direction, degrees.")
    straight: bool = Field(True, description="Keep the last direction in the first future, and draw the others; else draw all of them.")

    def gives(self, obs_spec: ObservationSpec) -> ForecastSpec:
        """Several futures of position, heading and velocity."""
        return ForecastSpec(states=MOTION, several=True)


class LeastSquaresConfig(MotionConfig):
    """A line through the observed positions."""


class ConstantTurnRateConfig(MotionConfig):
    """Speed and yaw rate stay."""

    def accepts(self, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a yaw rate too."""
        return lacking(obs_spec, (*MOTION, "yaw_rate"))


class KalmanConfig(MotionConfig):
    """A Kalman filter of positions; what is left out of the noises is fitted on training windows."""

    model: Literal["velocity", "acceleration"] = Field("velocity", description="What is constant but for the process noise.")
    process: float | None = Field(
        None, gt=0, description="Spectral density of the process noise: m^2/s^3 (velocity) or m^2/s^5 (acceleration); none: fitted."
    )
    measurement: float | None = Field(None, gt=0, description="Standard deviation of a measured coordinate, metres; none: fitted.")
    speed: float | None = Field(
        None, gt=0, description="Standard deviation of a velocity component before anything is measured, m/s; none: that of training."
    )
    acceleration: float = Field(1.0, gt=0, description="Standard deviation of an acceleration component at first, m/s^2; of acceleration.")
    fit_windows: int = Field(256, ge=1, description="Most training windows to fit to, evenly spaced.")
    fit_tracks: int = Field(4096, ge=1, description="Most tracks in them to fit to, evenly spaced.")

    def gives(self, obs_spec: ObservationSpec) -> ForecastSpec:
        """Several futures of position, heading and velocity, and the density of positions."""
        return ForecastSpec(states=MOTION, several=True, density=True)
