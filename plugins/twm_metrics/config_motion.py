"""Configs of the metrics of motion beside displacements: misses, RMSE, moving agents, headings, accelerations, collisions. Torch-free."""

from __future__ import annotations

from pydantic import Field

from twm_core.errors import Mismatch
from twm_core.kinds.metric import MetricConfig
from twm_core.specs import ForecastSpec, ObservationSpec, Score
from twm_metrics.config import PositionsConfig, lacking, shown_steps


class MissRateConfig(PositionsConfig):
    """Share of agents none of whose futures ends near the truth."""

    radius: float = Field(2.0, gt=0, description="Metres at the last predicted step within which a future hits.")

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """A share."""
        return (Score(name="miss_rate"),)


class RMSEConfig(PositionsConfig):
    """Root mean square error of the mean future at each whole second, pooled over agents."""

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Metres."""
        return tuple(Score(name=f"rmse@{s:g}s", unit="m", at=s) for _, s in shown_steps(obs_spec))


class MovingConfig(PositionsConfig):
    """ADE of agents that move, which parked ones cannot flatter."""

    speed: float = Field(0.5, gt=0, description="Metres per second that an agent's mean speed over the predicted steps must reach.")

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Metres, and the share of agents that count."""
        return (Score(name="moving_ade", unit="m"), Score(name="moving_minade", unit="m"), Score(name="moving_share", better="none"))


class HeadingConfig(MetricConfig):
    """Errors of the heading and of the direction of motion, the short way round."""

    speed: float = Field(0.5, gt=0, description="Metres per second below which a direction of motion does not count.")

    def accepts(self, obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
        """Needs headings and velocities, seen and forecast."""
        missing = lacking(obs_spec, forecast)
        if missing is not None:
            return missing
        wanted = ("heading", "vx", "vy")
        names = [f.name for f in obs_spec.get("agents.state").features]
        if not set(wanted) <= set(names):
            return Mismatch(needs="features heading, vx and vy of agents", got=names)
        if not set(wanted) <= set(forecast.states):
            return Mismatch(needs="forecasts of heading, vx and vy", got=forecast.states)
        return None

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Radians, averaged over futures, steps and agents."""
        return (Score(name="heading_error", unit="rad"), Score(name="direction_error", unit="rad"))


class AccelerationConfig(MetricConfig):
    """Error of accelerations, from second differences of positions."""

    def accepts(self, obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
        """Needs positions of agents, and at least three predicted steps."""
        if obs_spec.horizon < 3:
            return Mismatch(needs="at least 3 predicted steps", got=f"{obs_spec.horizon}", remedy="set dataset.predicted_seconds higher")
        return lacking(obs_spec, forecast)

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Metres per second squared: the error, and what forecast and log hold on average."""
        return (
            Score(name="acceleration_error", unit="m/s2"),
            Score(name="acceleration", unit="m/s2", better="none"),
            Score(name="acceleration_log", unit="m/s2", better="none"),
        )


class CollisionConfig(PositionsConfig):
    """Share of agents that touch another one in a future, as discs or as oriented boxes."""

    radius: float = Field(0.1, gt=0, description="Metres: half the size of an agent where the data has no sizes (two at 0.2 m touch).")

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Shares: of agents and futures, and of agents of the log."""
        return (Score(name="collision_rate"), Score(name="collision_rate_log", better="none"))
