"""Distances of futures and of their mean from the truth, and averages over the steps at which an agent is there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats


def positions(truth: Truth) -> Tensor:
    """True positions, float64 `[B,H,A,2]`; 0 where an agent is not there."""
    xy = truth.states[..., [truth.index("x"), truth.index("y")]].double()
    return torch.where(truth.here[..., None], xy, 0.0)


def of_futures(forecast: Forecast, truth: Truth) -> Tensor:
    """`[B,S,H,A]`, 0 where an agent is not there."""
    away = (forecast.states[..., :2].double() - positions(truth)[:, None]).norm(dim=-1)
    return torch.where(truth.here[:, None], away, 0.0)


def of_mean(forecast: Forecast, truth: Truth) -> Tensor:
    """`[B,H,A]`, 0 where an agent is not there."""
    return torch.where(truth.here, (forecast.mean().double() - positions(truth)).norm(dim=-1), 0.0)


def future_weights(forecast: Forecast) -> Tensor:
    """Probabilities of the futures, float64 `[B,S,A]`, adding to 1 over `S`."""
    size, futures, _, agents = forecast.states.shape[:4]
    if forecast.weights is None:
        return torch.full((size, futures, agents), 1 / futures, dtype=torch.float64)
    return forecast.weights.double()


def ratio(above: Floats, below: Floats) -> Floats:
    """above / below, NaN where below is 0."""
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
