"""Kind `metric`: a number, or a few, that say how good forecasts are. Not part of a recipe: protocols and `twm eval` choose them."""

from __future__ import annotations

from typing import ClassVar, Literal

from twm_core.config import ComponentConfig
from twm_core.errors import Mismatch
from twm_core.kinds.base import Kind
from twm_core.specs import ForecastSpec, ObservationSpec, Score


class MetricConfig(ComponentConfig):
    """Base of all metric configs.

    Attributes:
        over: What the average goes over: scored agents of windows (marginal), or whole windows (joint).
    """

    over: ClassVar[Literal["agents", "windows"]] = "agents"

    def accepts(self, obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
        """None where this metric can be computed, else what it lacks.

        Args:
            obs_spec: What batches hold.
            forecast: What the forecaster gives.
        """
        raise NotImplementedError

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """The numbers that this metric gives, in order, with unit and direction.

        Args:
            obs_spec: What batches hold; names of scores at a time (`error@2s`) come from its `dt` and `horizon`.
            samples: `S`, futures of each window.
        """
        raise NotImplementedError


KIND = Kind(
    name="metric",
    summary="Numbers that say how good forecasts of agents are, kept for each agent or window so that they can be averaged and resampled.",
    config=MetricConfig,
    interface="twm_core.evaluation.interfaces:Metric",
    specs="forecasts of agents, and what happened",
    gives="scores, as sums over agents or windows",
)
