"""What metrics and forecasters do at run time. `build(config, given)` of a component returns an object of its class here.

A metric is a sum: for each unit (a scored agent of a window, or a whole window) it gives `K` numbers, which add up over units, and turns
totals into scores. So means, ratios, roots of means, F1 and histograms are all averaged over agents and never over batches, and can be
resampled (bootstrap) and compared in pairs without looking at a forecast again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from twm_core.data.dataset import Batch, Windows
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.specs import ForecastSpec

Floats = NDArray[np.float64]


class Curve(NamedTuple):
    """A curve that says more than a score.

    Attributes:
        x_label: What is on the x axis.
        y_label: What is on the y axis.
        x: `[N]`.
        y: `[N]`.
        weight: How much was counted at each point, `[N]`.
    """

    x_label: str
    y_label: str
    x: Floats
    y: Floats
    weight: Floats


class Metric(ABC):
    """Computes one family of scores. Deterministic; keeps nothing between batches."""

    @abstractmethod
    def sums(self, forecast: Forecast, truth: Truth) -> Floats:
        """The additive numbers of each unit.

        Args:
            forecast: Futures of some windows.
            truth: What happened in them.

        Returns:
            `[U,K]` float64. Units are the scored agents in the order of `truth.scored` (row-major), or the windows, as the config's
            `over` says. A unit without such a number holds zeros (nothing is added to numerator and denominator).
        """

    @abstractmethod
    def finish(self, totals: Floats) -> Mapping[str, Floats]:
        """Scores by name from sums over units, `[...,K]` to `[...]` each; NaN where nothing was counted.

        Leading axes are resamples: one call finishes all of them.
        """

    def curves(self, totals: Floats) -> Mapping[str, Curve]:
        """Curves by title from sums over units `[K]`, where a metric has some; none by default. They are saved and can be drawn."""
        return {}


class Forecaster(ABC):
    """Forecasts agents: a baseline, a world model, or anything of a third party.

    Attributes:
        gives: What its forecasts hold.
    """

    gives: ForecastSpec

    def fit(self, windows: Windows) -> None:  # noqa: B027 - most have nothing to learn
        """Learn what is to be learned from training windows; called once, before the first forecast. Nothing by default."""

    @abstractmethod
    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        """Futures of a batch that holds the observed steps only (targets are left out, nothing later is in it).

        Args:
            observed: Input keys of `B` windows, cut after the last observed step; `dt` is in it.
            steps: `H`.
            samples: `S`, futures that are wanted; a forecaster with one future gives one.
            generator: Source of all randomness.
        """
