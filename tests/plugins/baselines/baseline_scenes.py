"""Scenes for the tests of baselines: agents given by their features at each observed step, and windows made of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch

from twm_core.data.dataset import Batch, Windows
from twm_core.data.schema import traffic_observations
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.plugin.registry import Registry, discover
from twm_core.specs import AGENT_TYPES, BaselineSpecs, ObservationSpec

# Another order than the schema's, so that nothing can rely on positions.
FEATURES = (
    *("yaw_rate", "vy", "vx", "heading", "y", "x", "fresh", "length", "leader_known", "leader_speed", "leader_gap", "leader_offset"),
    *("lane_turn_50", "lane_turn_20", "lane_known", "lane_angle", "speed_limit"),
)
LANES_ONLY = tuple(f for f in FEATURES if not f.startswith("leader"))
State = Mapping[str, float] | None
"""Features of an agent at one step, the others are 0; None where it is not there."""


def spec(features: tuple[str, ...] = FEATURES, *, dt: float = 0.5, context: int = 3, horizon: int = 4) -> ObservationSpec:
    return traffic_observations(features=features, dt=dt, context=context, horizon=horizon, protocol="p")


def scene(obs_spec: ObservationSpec, *agents: Sequence[State], types: Sequence[str] = (), dt: float | None = None) -> Batch:
    """One window; every agent gives its states at all steps."""
    names = [f.name for f in obs_spec.get("agents.state").features]
    steps = len(agents[0])
    state, exists = torch.zeros(1, steps, len(agents), len(names)), torch.zeros(1, steps, len(agents), dtype=torch.bool)
    for a, states in enumerate(agents):
        for t, values in enumerate(states):
            if values is not None:
                state[0, t, a] = torch.tensor([float(values.get(n, 0.0)) for n in names])
                exists[0, t, a] = True
    first = torch.zeros(1, steps, dtype=torch.bool)
    first[:, 0] = True
    kinds = [*types, *("car",) * (len(agents) - len(types))]
    return {
        "agents.state": state,
        "agents.exists": exists,
        "agents.type": torch.tensor([[AGENT_TYPES.index(k) for k in kinds]]),
        "is_first": first,
        "dt": torch.tensor([obs_spec.dt if dt is None else dt]),
    }


@cache
def installed() -> Registry:
    return discover()


def forecaster(name: str, obs_spec: ObservationSpec, **options: Any) -> Forecaster:
    found = installed().find("baseline", name)
    return found.load_build()(found.load_config()(**options), BaselineSpecs(obs_spec=obs_spec))


def forecast(
    name: str | Forecaster, obs_spec: ObservationSpec, batch: Batch, *, steps: int = 4, samples: int = 1, seed: int = 0, **options: Any
) -> Forecast:
    who = forecaster(name, obs_spec, **options) if isinstance(name, str) else name
    return who.forecast(batch, steps=steps, samples=samples, generator=torch.Generator().manual_seed(seed))


class Given(Windows):
    """Windows that are there as tensors."""

    def __init__(self, whole: Batch) -> None:
        self.whole = whole

    def __len__(self) -> int:
        return len(self.whole["dt"])

    def batch(self, indices: Sequence[int]) -> Batch:
        return {k: v[torch.as_tensor(list(indices), dtype=torch.long)] for k, v in self.whole.items()}

    def report(self) -> dict[str, int]:
        return {"windows": len(self)}
