"""Configs of the probabilistic metrics: likelihood, energy score, CRPS, calibration. Torch-free."""

from __future__ import annotations

from pydantic import Field

from twm_core.errors import Mismatch
from twm_core.kinds.metric import MetricConfig
from twm_core.specs import ForecastSpec, ObservationSpec, Score
from twm_metrics.config import PositionsConfig, lacking


def _several(obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
    if not forecast.several:
        return Mismatch(needs="a forecaster with several futures", got="one with a single future")
    return lacking(obs_spec, forecast)


class NLLConfig(MetricConfig):
    """Negative log-likelihood of true positions: under a kernel density of the futures, and under the forecaster's own density."""

    floor: float = Field(0.05, gt=0, description="Metres: least standard deviation of the kernel along either axis of the futures.")
    least: float = Field(-20.0, description="Nats: log-densities below this count as this, so that one surprise does not decide.")

    def accepts(self, obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
        """Needs several futures, or a density."""
        return lacking(obs_spec, forecast) if forecast.density else _several(obs_spec, forecast)

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Nats for a position (x and y), averaged over steps and agents."""
        return (Score(name="kde_nll", unit="nats"), Score(name="density_nll", unit="nats"))


class EnergyScoreConfig(PositionsConfig):
    """Energy score of whole trajectories: how well a set of futures represents what happened, spread included."""

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Metres (root mean square over the steps of a trajectory)."""
        return (Score(name="energy_score", unit="m"),)


class CRPSConfig(PositionsConfig):
    """Continuous ranked probability score of each coordinate, along and across the last observed movement."""

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Metres, averaged over steps and agents."""
        return (Score(name="crps_along", unit="m"), Score(name="crps_across", unit="m"))


class CalibrationConfig(MetricConfig):
    """Whether what is said to happen so often does: ranks of the truth among the futures, probabilities of futures and of existence."""

    bins: int = Field(10, ge=2, le=100, description="Bins of every histogram.")

    def accepts(self, obs_spec: ObservationSpec, forecast: ForecastSpec) -> Mismatch | None:
        """Needs several futures."""
        return _several(obs_spec, forecast)

    def scores(self, obs_spec: ObservationSpec, samples: int) -> tuple[Score, ...]:
        """Shares: how far off the histogram of ranks is from a flat one, and probabilities from frequencies."""
        return (Score(name="pit_deviation"), Score(name="mode_ece"), Score(name="existence_ece"))
