"""Configs of the metrics. Imports neither torch nor numpy."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from twm_core.errors import Mismatch
from twm_core.kinds.metric import MetricConfig
from twm_core.specs import ForecastSpec, ObservationSpec, Score


def lacking(obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
    """What is missing for a metric of positions."""
    if not obs_spec.has("agents.state"):
        return Mismatch(needs="agents (key 'agents.state')", got=obs_spec.describe())
    if tuple(forecast.states[:2]) != ("x", "y"):
        return Mismatch(needs="forecasts that begin with x and y", got=forecast.states)
    return None


class PositionsConfig(MetricConfig):
    """Base of metrics that need forecasts of positions and nothing else."""

    def accepts(self, obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
        """None where there are agents, and forecasts that begin with x and y."""
        return lacking(obs_spec, forecast)


def shown_steps(obs_spec: ObservationSpec) -> tuple[tuple[int, float], ...]:
    """Steps at whole seconds, and the last one, each with its seconds."""
    every = ((h, round((h + 1) * obs_spec.dt, 6)) for h in range(obs_spec.horizon))
    return tuple((h, s) for h, s in every if abs(s - round(s)) < 1e-6 or h == obs_spec.horizon - 1)


class DisplacementConfig(PositionsConfig):
    """ADE and FDE of the mean, minADE and minFDE of the best future, and the error at each whole second."""

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Metres."""
        times = [s for _, s in shown_steps(obs_spec)]
        return (
            *(Score(name=n, unit="m") for n in ("ade", "fde", "minade", "minfde")),
            *(Score(name=f"{n}@{s:g}s", unit="m", at=s) for n in ("error", "ade") for s in times),
        )


class JointDisplacementConfig(PositionsConfig):
    """The best future of a window for all its scored agents together."""

    over: ClassVar[Literal["agents", "windows"]] = "windows"

    radius: float = Field(2.0, gt=0, description="Metres at the last step within which a joint future hits all agents.")

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Metres, and a share."""
        return (Score(name="minjointade", unit="m"), Score(name="minjointfde", unit="m"), Score(name="joint_miss_rate"))


class ExistenceConfig(PositionsConfig):
    """F1 of "this agent is there"; forecasters that do not say claim that whoever is there stays."""

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """A share."""
        return (Score(name="f1", better="higher"),)


class PresenceConfig(PositionsConfig):
    """How many agents are said to be there, and when they are said to leave."""

    over: ClassVar[Literal["agents", "windows"]] = "windows"

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Agents, and seconds."""
        return (Score(name="count_error", unit="agents"), Score(name="exit_error", unit="s"))
