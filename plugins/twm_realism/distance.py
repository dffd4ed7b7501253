"""Plain distributions as additive counts, their means, and how far apart two of them are.

The 1-Wasserstein distance between two distributions on a line is the area between their distribution functions (Vallender 1974), here of
histograms with narrow bins: accurate to the width of a bin. Values beyond the last bin count as its upper end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


class Axis(NamedTuple):
    """Bins of `width` from 0 to `high`."""

    high: float
    width: float

    @property
    def bins(self) -> int:
        """Number of bins."""
        return round(self.high / self.width)


def counts(values: Tensor, weight: Tensor, axis: Axis) -> Floats:
    """Weight in each bin `[N]`, then the weighted sum of the (cut off) values: `[N + 1]`."""
    values, weight = values.reshape(-1), weight.reshape(-1)
    values = torch.where(weight > 0, values, 0.0).clamp(0.0, axis.high)
    which = (values / axis.width).long().clamp(max=axis.bins - 1)
    held = torch.bincount(which, weights=weight, minlength=axis.bins)
    return np.append(held.cpu().numpy(), float((values * weight).sum()))


def mean(held: Floats) -> Floats:
    """Mean of what `counts` gave, `[..., N + 1]` to `[...]`; NaN where nothing was counted."""
    total = held[..., :-1].sum(axis=-1)
    return np.where(total > 0, held[..., -1] / np.where(total > 0, total, 1.0), np.nan)


def wasserstein(one: Floats, other: Floats, axis: Axis) -> Floats:
    """Distance of two distributions in their unit, `[..., N + 1]` each to `[...]`; NaN where one is empty."""
    known = np.ones(one.shape[:-1], dtype=bool)
    functions: list[Floats] = []
    for held in (one, other):
        total = held[..., :-1].sum(axis=-1)
        known &= total > 0
        functions.append(held[..., :-1].cumsum(axis=-1) / np.where(total > 0, total, 1.0)[..., None])
    return np.where(known, np.abs(functions[0] - functions[1]).sum(axis=-1) * axis.width, np.nan)
