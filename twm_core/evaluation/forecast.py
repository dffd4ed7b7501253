"""What flows between a forecaster and a metric: the forecast of a batch of windows, and what really happened.

`B` windows, `S` futures, `H` predicted steps, `A` agent slots. World frame, metres, seconds, radians.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from twm_core.data.scenario import RoadMap


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Futures of the agents of some windows.

    A forecaster with one future gives `S = 1`, however many were asked for.

    Attributes:
        states: `[B,S,H,A,F]`, float32; the features are those of its `ForecastSpec.states`, x and y first.
        weights: Probabilities of the futures of each agent, `[B,S,A]`, adding to 1 over `S`; None where all are equally probable.
        expected: Mean position as the forecaster itself knows it, `[B,H,A,2]`; None: the weighted mean of `states`.
        exists: Probability that an agent is there, `[B,S,H,A]`; None where the forecaster does not say.
        log_density: Log-density of positions `[B,H,A,2]` under the forecast of each step by itself, `[B,H,A]` in nats; None where it
            has none.
    """

    states: Tensor
    weights: Tensor | None = None
    expected: Tensor | None = None
    exists: Tensor | None = None
    log_density: Callable[[Tensor], Tensor] | None = None

    def mean(self) -> Tensor:
        """Mean position of each agent at each step, `[B,H,A,2]`."""
        if self.expected is not None:
            return self.expected
        positions = self.states[..., :2]
        if self.weights is None:
            return positions.mean(dim=1)
        return (self.weights[:, :, None, :, None] * positions).sum(dim=1)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What was observed and what then happened, for metrics only: no forecaster ever gets one.

    Attributes:
        batch: The whole windows, as the dataset gives them.
        features: Names of the features of `states` and `past`.
        past: Observed states, `[B,C,A,F]`.
        past_exists: bool `[B,C,A]`.
        states: What happened, `[B,H,A,F]`; where `here` is False it is meaningless.
        here: bool `[B,H,A]`: the agent was there at this step, in the same episode.
        scored: bool `[B,A]`: the agents that count.
        vehicle: int64 `[B,A]`: a number for each track, the same in all windows in which it comes up (what is resampled together).
        window: int64 `[B]`: number of the window in its split.
        scenario: int64 `[B]`: number of the scenario that the window is from.
        dt: Seconds of a step.
        maps: The road map of each window, None where there is none.
    """

    batch: dict[str, Tensor]
    features: tuple[str, ...]
    past: Tensor
    past_exists: Tensor
    states: Tensor
    here: Tensor
    scored: Tensor
    vehicle: Tensor
    window: Tensor
    scenario: Tensor
    dt: float
    maps: Sequence[RoadMap | None] = ()

    def index(self, name: str) -> int:
        """Where a feature stands on the last axis of `states` and `past`."""
        return self.features.index(name)
