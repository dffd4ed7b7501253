"""Who steers in the recorded episodes: in a third of them the target is sought, in the others not; both hold a course for a while.

    w[t+1] = rho w[t] + sqrt(1 - rho^2) xi        a slow random wish (Ornstein-Uhlenbeck, 0.5 s)
    seeking:   wish = 1.5 (target + 0.4 v_target - p) - 0.8 v + w
    wandering: wish = w

A wish `[N,2]` becomes a thrust between -1 and 1 or one of five moves. Only the present state is looked at.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from twm_shapes.config import MOVES

Floats = NDArray[np.float64]

_HOLD_SECONDS = 0.5
_PULL, _LOOK_AHEAD_SECONDS, _BRAKE, _WHIM = 1.5, 0.4, 0.8, 1.0
SEEKING = 1 / 3
"""Share of the episodes in which the target is sought."""
_STILL = 0.3
"""A wish smaller than this is to stay."""

DIRECTIONS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
"""The thrust of each of `MOVES`."""


def drift(whim: Floats, normal: Floats, dt: float) -> Floats:
    """The slow random wish one step later, `[N,2]`, of unit variance in the long run."""
    rho = math.exp(-dt / _HOLD_SECONDS)
    return rho * whim + math.sqrt(1 - rho * rho) * normal


def wish(position: Floats, velocity: Floats, whim: Floats, seeks: NDArray[np.bool_]) -> Floats:
    """Where the steered shape would go.

    Args:
        position: `[N,K,2]`; the steered shape is number 0, the target number 1.
        velocity: `[N,K,2]`.
        whim: `[N,2]`.
        seeks: `[N]`, whether the target is sought.

    Returns:
        `[N,2]`.
    """
    there = position[:, 1] + _LOOK_AHEAD_SECONDS * velocity[:, 1]
    seeking = _PULL * (there - position[:, 0]) - _BRAKE * velocity[:, 0] + _WHIM * whim
    return np.where(seeks[:, None], seeking, whim)


def as_thrust(wished: Floats) -> Floats:
    """The wish as a thrust `[N,2]` between -1 and 1."""
    return np.clip(wished, -1.0, 1.0)


def as_move(wished: Floats) -> Floats:
    """The wish as a move, one-hot `[N,5]` over `MOVES`."""
    size = np.abs(wished)
    across = size[:, 0] >= size[:, 1]
    positive = np.where(across, wished[:, 0], wished[:, 1]) > 0
    move = np.where(across, np.where(positive, 1, 3), np.where(positive, 2, 4))
    return np.eye(len(MOVES))[np.where(size.max(axis=1) < _STILL, 0, move)]
