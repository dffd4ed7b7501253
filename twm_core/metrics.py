"""Displacement and existence metrics, kept per agent so that they can be averaged, resampled and compared.

For agent i with predicted positions p[s, h], true positions x[h] and steps H_i at which it exists (metres):

    ADE     mean over H_i of |mean_s p[s, h] - x[h]|           FDE     the same at the last predicted step, if it exists there
    minADE  min over s of the mean over H_i of |p[s, h] - x[h]|   minFDE  min over s of |p[s, H] - x[H]|

Averages are over agents, never over batches. ADE and FDE are minimised independently, as the tables of the field do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass
class Displacements:
    """Per-agent errors of one forecaster, filled batch by batch. NaN where an agent has no such number."""

    ade: list[NDArray[np.float64]] = field(default_factory=list)
    fde: list[NDArray[np.float64]] = field(default_factory=list)
    minade: list[NDArray[np.float64]] = field(default_factory=list)
    minfde: list[NDArray[np.float64]] = field(default_factory=list)
    at_step: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, guess: Tensor, truth: Tensor, here: Tensor, scored: Tensor, *, expected: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            guess: `[B,S,H,A,2]`, metres.
            truth: `[B,H,A,2]`, metres.
            here: bool `[B,H,A]`, where the truth exists.
            scored: bool `[B,A]`, which agents count.
            expected: `[B,S,H,A,2]`: the mean of what each future was drawn from, where it is known; ADE and FDE are of the mean of
                these, which no noise of the draws reaches. `guess` by default.
        """
        # In float64 on the CPU: sums over thousands of agents must not depend on the batch size.
        guess, truth = guess.detach().cpu().double(), truth.cpu().double()
        here, scored = here.cpu(), scored.cpu()
        nan = torch.tensor(float("nan"), dtype=torch.float64)
        each = (guess - truth[:, None]).norm(dim=-1)  # B S H A
        mean = ((guess if expected is None else expected.detach().cpu().double()).mean(dim=1) - truth).norm(dim=-1)  # B H A
        steps = here.sum(dim=1)
        there = steps > 0

        def average(error: Tensor) -> Tensor:
            total = torch.where(here if error.dim() == 3 else here[:, None], error, 0).sum(dim=-2)
            count = (steps if error.dim() == 3 else steps[:, None]).clamp_min(1)
            return total / count

        last = here[:, -1]
        rows = {
            "ade": torch.where(there, average(mean), nan),
            "fde": torch.where(last, mean[:, -1], nan),
            "minade": torch.where(there, average(each).min(dim=1).values, nan),
            "minfde": torch.where(last, each[:, :, -1].min(dim=1).values, nan),
        }
        for name, values in rows.items():
            getattr(self, name).append(values[scored].numpy())
        self.at_step.append(torch.where(here, mean, nan).transpose(1, 2)[scored].numpy())

    def per_agent(self, name: str) -> NDArray[np.float64]:
        """All values of `ade`, `fde`, `minade` or `minfde`, one for each scored agent."""
        return np.concatenate(getattr(self, name)) if getattr(self, name) else np.zeros(0)

    def summary(self, dt: float) -> dict[str, Any]:
        """Averages over agents, and the error at each whole second (and at the last step) by its time."""
        steps = np.concatenate(self.at_step) if self.at_step else np.zeros((0, 0))
        horizon = []
        for h in range(steps.shape[1]):
            seconds = (h + 1) * dt
            if abs(seconds - round(seconds)) < 1e-6 or h == steps.shape[1] - 1:
                at, until = steps[:, h], steps[:, : h + 1]
                known = ~np.isnan(until).all(axis=1)
                horizon.append(
                    {
                        "seconds": round(seconds, 6),
                        "error": _mean(at),
                        "ade": _mean(np.nanmean(until[known], axis=1)) if known.any() else None,
                        "agents": int((~np.isnan(at)).sum()),
                    }
                )
        return {n: _mean(self.per_agent(n)) for n in ("ade", "fde", "minade", "minfde")} | {"by_horizon": horizon}


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


@dataclass
class Counts:
    """True positives, false positives and false negatives of existence."""

    hit: int = 0
    false_alarm: int = 0
    miss: int = 0

    def add(self, guess: Tensor, truth: Tensor, counted: Tensor) -> None:
        """Add bool tensors of one shape."""
        self.hit += int((guess & truth & counted).sum())
        self.false_alarm += int((guess & ~truth & counted).sum())
        self.miss += int((~guess & truth & counted).sum())

    @property
    def f1(self) -> float:
        """2 hits / (2 hits + false alarms + misses); 1 where there was nothing to find and nothing was claimed."""
        total = 2 * self.hit + self.false_alarm + self.miss
        return 2 * self.hit / total if total else 1.0


def bootstrap_skill(
    model: NDArray[np.float64], baseline: NDArray[np.float64], cluster: NDArray[np.int64], *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of 1 - mean(model) / mean(baseline), resampling whole clusters with replacement.

    Agents of one cluster (a vehicle that comes up in several overlapping windows) are not independent, so they are drawn together.
    Efron & Tibshirani, "An introduction to the bootstrap", 1993, percentile method.

    Args:
        model: An error for each agent.
        baseline: The baseline's error for the same agents.
        cluster: Number of the cluster of each agent.
        resamples: How often to draw.
        seed: Seed of the draws.
    """
    known = ~(np.isnan(model) | np.isnan(baseline))
    _, number = np.unique(cluster[known], return_inverse=True)
    ours, theirs = np.bincount(number, model[known]), np.bincount(number, baseline[known])
    if not len(ours) or not theirs.any():  # nobody to compare, or a baseline without error to fall below
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, len(ours), (resamples, len(ours)))
    skill = 1 - ours[drawn].sum(axis=1) / theirs[drawn].sum(axis=1)
    low, high = np.percentile(skill, [2.5, 97.5])
    return float(low), float(high)
