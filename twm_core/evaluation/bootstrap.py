"""How sure a score is: the cluster bootstrap, for everything that is a function of sums.

Agents of one cluster (a vehicle that comes up in several overlapping windows, the windows of one recording) are not independent, so
clusters are drawn together, with replacement, as many as there are. A resample's sums are the counts of the draw times the sums of the
clusters, so that no forecast is looked at twice:

    sums of clusters [C,K]      counts of the draws [R,C]      resampled sums [R,K] = counts @ sums      then `Metric.finish`

The draws are a function of seed and C alone. Two forecasters on the same units are thus resampled alike, and the differences of their
scores are paired. Intervals by the percentile method; the two-sided p-value is the smallest level whose interval leaves out 0
(Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapters 13 and 15), never 0 from finitely many draws: the observed sample
counts as one more draw (Davison & Hinkley, "Bootstrap methods and their application", 1997, section 4.2.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twm_core.evaluation.interfaces import Floats

RESAMPLES = 1000
LEVEL = 0.95
_AT_ONCE = 1 << 22
"""Numbers of the matrix of counts that are held at a time."""

Ints = NDArray[np.int64]


def cluster_sums(sums: Floats, cluster: Ints) -> Floats:
    """Sums of units `[U,K]` added up by cluster `[U]`: `[C,K]`, in the order of the clusters' numbers."""
    numbers, place = np.unique(cluster, return_inverse=True)
    found = np.zeros((len(numbers), sums.shape[1]))
    np.add.at(found, place, sums)
    return found


def resampled(sums: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Sums over drawn clusters, `[C,K]` to `[R,K]`."""
    clusters = len(sums)
    random = np.random.default_rng(seed)
    found = np.zeros((resamples, sums.shape[1]))
    rows = max(_AT_ONCE // max(clusters, 1), 1)
    for at in range(0, resamples if clusters else 0, rows):
        some = min(rows, resamples - at)
        drawn = random.integers(0, clusters, (some, clusters)) + clusters * np.arange(some)[:, None]
        counts = np.bincount(drawn.reshape(-1), minlength=some * clusters).reshape(some, clusters)
        found[at : at + some] = counts.astype(np.float64) @ sums
    return found


def interval(values: Floats, *, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of resampled scores `[R]`; NaN where no resample has one."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def p_value(differences: Floats) -> float:
    """Two-sided p-value of "no difference" from resampled differences `[R]`; NaN where there is none."""
    known = differences[np.isfinite(differences)]
    if not len(known):
        return float("nan")
    below, above = (1 + int((known <= 0).sum())), (1 + int((known >= 0).sum()))
    return min(1.0, 2 * min(below, above) / (len(known) + 1))
