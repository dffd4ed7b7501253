"""A healthy baseline, constant velocity slowed down by what it learned, and what may be wrong with one."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from zoo_configs import ZooBaseline

from twm_core.data.dataset import Batch, Windows
from twm_core.data.schema import MOTION
from twm_core.errors import UsageError
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.specs import BaselineSpecs

NOISE = 0.05


class ZooForecaster(Forecaster):
    def __init__(self, config: ZooBaseline, specs: BaselineSpecs) -> None:
        self.fault = config.fault
        self.gives = config.gives(specs.obs_spec)
        self.steps = specs.obs_spec.horizon
        self.columns = [specs.obs_spec.get("agents.state").index(n) for n in MOTION]
        self.calls = 0
        self.slow: float | None = None

    def fit(self, windows: Windows) -> None:
        exists = windows.batch(range(len(windows)))["agents.exists"]
        self.slow = 1 - 0.01 * float(exists.float().mean())
        if self.fault == "learns by chance":
            self.slow += 0.1 * float(np.random.default_rng().random())

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        fault, several = self.fault, self.gives.several
        if self.slow is None and fault != "is lost without fitting":
            raise UsageError("it has learned nothing", "call fit first")
        state, exists = observed["agents.state"], observed["agents.exists"]
        if fault == "writes into its input":
            state[~exists] = 0
        if fault != "reads who is not there":
            state = torch.where(exists[..., None], state, 0)
        now = state[:, -1][..., self.columns]  # B A 5
        factor = torch.ones(now.shape[:2]) * (self.slow or math.nan)
        speed = now[..., 3:].norm(dim=-1)
        if fault == "reads who is not there":
            factor = factor * (1 + 0.01 * speed.mean(dim=1, keepdim=True))
        if fault == "counts slots":
            factor = factor * (1 + 0.1 * exists.shape[2])
        if fault == "depends on the slot":
            factor = factor * (1 + 0.1 * torch.arange(exists.shape[2]))
        if fault == "looks at the batch":
            factor = factor * (1 + 0.1 * speed.sum() / exists[:, -1].sum().clamp_min(1))
        if fault == "needs a past":
            factor = factor * (exists.sum(dim=1) - 1) / (exists.sum(dim=1) - 1)
        if fault == "reads the target" and "agents.scored" in observed:
            factor = factor * torch.where(observed["agents.scored"], 1.0, 1.1)
        if fault == "counts its calls":
            self.calls += 1
            factor = factor + self.calls
        if fault == "predicts what the protocol predicts":
            steps = self.steps
        time = torch.arange(1, steps + 1)[None, :, None, None] * observed["dt"][:, None, None, None]
        path = now[:, None].repeat(1, steps, 1, 1)
        path[..., :2] = now[:, None, :, :2] + time * (factor[..., None] * now[..., 3:])[:, None]
        if fault == "knows the north":
            path[..., 1] += 1.0
        futures = path[:, None].repeat(1, samples if several else 1, 1, 1, 1)
        if fault == "gives one future too many":
            futures = torch.cat([futures, futures[:, :1]], dim=1)
        if several:
            drawn = torch.randn(futures[..., :2].shape, generator=None if fault == "draws from the global generator" else generator)
            futures[..., :2] += NOISE * (drawn[:, :1] if fault == "has one future in copies" else drawn)
        return self._told(futures, path[..., :2])

    def _told(self, futures: Tensor, path: Tensor) -> Forecast:
        if not self.gives.several:
            return Forecast(states=futures)
        size, count, steps, agents, _ = futures.shape

        def density(position: Tensor) -> Tensor:
            return -((position - path) / NOISE).square().sum(dim=-1) / 2 - math.log(2 * math.pi * NOISE**2)

        weight = 1.1 if self.fault == "has weights that do not add up" else 1.0
        return Forecast(
            states=futures,
            weights=torch.full((size, count, agents), weight / count),
            exists=torch.full((size, count, steps, agents), 1.5 if self.fault == "is more than certain" else 0.9),
            log_density=None if self.fault == "has no density" else density,
        )


def build(config: ZooBaseline, specs: BaselineSpecs) -> ZooForecaster:
    return ZooForecaster(config, specs)
