"""Kind `baseline`: a forecaster that is no world model, to measure one against; also the door for forecasters of third parties."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.errors import Mismatch
from twm_core.kinds.base import Kind
from twm_core.specs import ForecastSpec, ObservationSpec


class BaselineConfig(ComponentConfig):
    """Base of all baseline configs."""

    def accepts(self, obs_spec: ObservationSpec) -> Mismatch | None:
        """None where this forecaster can run on such batches, else what it lacks."""
        raise NotImplementedError

    def gives(self, obs_spec: ObservationSpec) -> ForecastSpec:
        """What its forecasts hold."""
        raise NotImplementedError


KIND = Kind(
    name="baseline",
    summary="A forecaster of agents that is no world model: motion at constant velocity, a driver model, or anything of your own.",
    config=BaselineConfig,
    interface="twm_core.evaluation.interfaces:Forecaster",
    specs="the observed steps of windows",
    gives="futures of their agents",
)
