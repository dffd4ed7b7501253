"""Finds the steps that a publisher interpolated, so that no model is asked to predict what was computed from the answer.

nuScenes is annotated at 2 Hz; ScenarioNet fills in four steps between two annotated ones along straight lines. A track that moves on a
straight line at constant speed between the steps k, 2k, 3k, ... and bends at these steps only was annotated at them only: the bends of
all tracks together have a greatest common divisor, which is k (or a multiple of it, where hardly anything moves). A recorded track bends
everywhere, because measurements have noise.

    bend[t] = |x[t-1] - 2 x[t] + x[t+1]| > tolerance
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from twm_driving.values import Floats

NUSCENES_EVERY = 5
"""Steps of 0.1 s between two annotated ones (0.5 s) in scenarios made from nuScenes."""

FEWEST_BENDS = 10
"""Different steps with a bend that are needed to believe a common divisor where the dataset is not known to be interpolated."""


def bends(x: Floats, y: Floats, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where tracks `[N, T]` bend or change their speed, at steps whose neighbours are valid too."""
    whole = valid.copy()
    whole[:, 1:-1] &= valid[:, :-2] & valid[:, 2:]
    whole[:, [0, -1]] = False
    change = np.zeros(x.shape)
    if x.shape[1] > 2:
        change[:, 1:-1] = np.hypot(x[:, :-2] - 2 * x[:, 1:-1] + x[:, 2:], y[:, :-2] - 2 * y[:, 1:-1] + y[:, 2:])
    # What is left of a straight line after rounding: double and single precision.
    scale = max(1.0, float(np.abs(x[valid]).max(initial=0)), float(np.abs(y[valid]).max(initial=0)))
    single = bool((x == x.astype(np.float32)).all() and (y == y.astype(np.float32)).all())
    tolerance = scale * (1e-6 if single else 1e-9) + 1e-6
    return whole & (change > tolerance)


def every(bent: NDArray[np.bool_], known: int | None = None) -> int:
    """Steps between two annotated ones; 1 where nothing is interpolated.

    Args:
        bent: bool `[N, T]`, of tracks that were annotated together.
        known: What the dataset is documented to have, used where the tracks do not contradict it.
    """
    steps = np.flatnonzero(bent.any(axis=0))
    common = math.gcd(*steps.tolist()) if len(steps) else 0
    if known is not None and common % known == 0:
        return known
    return common if len(steps) >= FEWEST_BENDS and common > 1 else 1


def interpolated(valid: NDArray[np.bool_], bent: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """bool `[N, T]`: valid steps that lie between annotated ones, on tracks that bend at annotated steps only."""
    between = np.arange(valid.shape[1]) % step != 0
    straight = ~(bent & between).any(axis=1)
    return valid & between & straight[:, None]
