"""Who drives in front of whom, at each step from what is seen at that step (so it is causal).

The leader of an agent is the nearest other one in front of it within a corridor of its own frame (origin at its position, x along its
heading) that drives in about the same direction.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

REACH = 100.0
"""Metres up to which a leader is looked for."""

HALF_WIDTH = 1.8
"""Half the width of the corridor, metres: half a lane."""

SAME_DIRECTION = np.pi / 3
"""Largest difference of headings, radians."""


class Leaders(NamedTuple):
    """For each row: distance between centres along the heading (m), the leader's speed along it minus the own (m/s), and whether
    there is a leader (1 or 0; the others are 0 where there is none)."""

    gap: NDArray[np.float64]
    speed: NDArray[np.float64]
    known: NDArray[np.float64]


def find_leaders(step: NDArray[np.int64], xy: NDArray[np.float64], heading: NDArray[np.float64], velocity: NDArray[np.float64]) -> Leaders:
    """The leader of every row.

    Args:
        step: Time step of each row, `[R]`.
        xy: Positions `[R, 2]`, metres.
        heading: Headings `[R]`, radians.
        velocity: Velocities `[R, 2]`, metres per second.
    """
    found = Leaders(*(np.zeros(len(step)) for _ in range(3)))
    order = np.argsort(step, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(step[order])) + 1):
        cos, sin = np.cos(heading[rows]), np.sin(heading[rows])
        away = xy[rows][None] - xy[rows][:, None]  # [i, j] from i to j
        ahead = away[..., 0] * cos[:, None] + away[..., 1] * sin[:, None]
        aside = away[..., 1] * cos[:, None] - away[..., 0] * sin[:, None]
        turned = np.cos(heading[rows][None] - heading[rows][:, None])
        suits = (ahead > 0) & (ahead <= REACH) & (np.abs(aside) <= HALF_WIDTH) & (turned >= np.cos(SAME_DIRECTION))
        distance = np.where(suits, ahead, np.inf)
        if not len(rows):
            continue
        j = distance.argmin(axis=1)
        i = np.arange(len(rows))
        known = np.isfinite(distance[i, j])
        relative = velocity[rows][j] - velocity[rows]
        along = relative[:, 0] * cos + relative[:, 1] * sin
        found.gap[rows] = np.where(known, distance[i, j], 0)
        found.speed[rows] = np.where(known, along, 0)
        found.known[rows] = known
    return found
