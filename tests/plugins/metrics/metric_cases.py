"""Metrics built alone, and truths made of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from twm_core.data.schema import MOTION, traffic_observations
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Metric
from twm_core.plugin.registry import discover
from twm_core.specs import ForecastSpec, MetricSpecs


def metric(name: str, horizon: int, *, dt: float = 1.0, samples: int = 6, states: Sequence[str] = ("x", "y"), **options: Any) -> Metric:
    """A metric of forecasts with several futures."""
    found = discover().find("metric", name)
    seen = traffic_observations(features=MOTION, dt=dt, context=1, horizon=horizon, protocol="p")
    gives = ForecastSpec(states=tuple(states), several=True)
    return found.load_build()(found.load_config()(**options), MetricSpecs(obs_spec=seen, forecast=gives, samples=samples))


def truth_of(
    truth: Tensor,
    here: Tensor,
    scored: Tensor,
    *,
    past: Tensor | None = None,
    features: Sequence[str] = ("x", "y"),
    dt: float = 1.0,
) -> Truth:
    """What happened, `[B,H,A,F]`; everybody was seen, at the origin if nothing else is said."""
    size, _, agents, width = truth.shape
    past = torch.zeros(size, 1, agents, width) if past is None else past
    return Truth(
        batch={},
        features=tuple(features),
        past=past,
        past_exists=torch.ones(past.shape[:3], dtype=torch.bool),
        states=truth,
        here=here,
        scored=scored,
        vehicle=torch.arange(size * agents).reshape(size, agents),
        window=torch.arange(size),
        scenario=torch.zeros(size, dtype=torch.int64),
        dt=dt,
    )


def scores_of(made: Metric, forecast: Forecast, truth: Truth) -> dict[str, float]:
    """Scores over all units."""
    return {k: float(v) for k, v in made.finish(made.sums(forecast, truth).sum(axis=0)).items()}


def futures(*each: Sequence[Sequence[float]]) -> Tensor:
    """Futures of one agent, given step by step, as `[1,S,H,1,F]`."""
    return torch.tensor(each)[None, :, :, None]


def path(*steps: Sequence[float]) -> Tensor:
    """The true path of one agent, `[1,H,1,F]`."""
    return torch.tensor(steps)[None, :, None]


def one(steps: int, *there: bool) -> tuple[Tensor, Tensor]:
    """Presence of one agent at some steps, and that it is scored."""
    return torch.tensor(there or (True,) * steps)[None, :, None], torch.ones(1, 1, dtype=torch.bool)
