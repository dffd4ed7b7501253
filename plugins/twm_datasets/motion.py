"""Causal motion: backward differences along tracks that stand one after another in flat arrays.

    d[r] = (v[r] - v[r-1]) / dt[r]      inside a track
    d[r] = 0                            at the first row of a track, where nothing is known yet

Central differences would put the next position into the present velocity, which is the classic leak of trajectory benchmarks.
Rows `[R]` or `[R, ...]`; `starts` is true at the first row of every track.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def wrap(angle: Floats) -> Floats:
    """The angle in `[-pi, pi)`."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def backward_difference(values: Floats, starts: NDArray[np.bool_], dt: float | Floats, *, angle: bool = False) -> Floats:
    """Rate of change since the row before, 0 at the first row of every track.

    Args:
        values: `[R]`.
        starts: bool `[R]`.
        dt: Seconds since the row before, one number or `[R]`.
        angle: Whether to take the difference the short way round.

    Returns:
        `[R]`, units of `values` per second.
    """
    change = np.diff(values, prepend=values[:1])
    change = wrap(change) if angle else change
    return np.where(starts, 0.0, change / dt)


def heading_of_motion(
    vx: NDArray[np.float32], vy: NDArray[np.float32], starts: NDArray[np.bool_], still_speed: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Direction of the last displacement, kept while slower than `still_speed`, 0 until the track first moves.

    Args:
        vx: float32 `[R]`, backward differences. Float32 on purpose: windows apply the same threshold to the same numbers.
        vy: Likewise.
        starts: bool `[R]`.
        still_speed: m/s.

    Returns:
        The heading in rad `[R]`, and whether it is known (the track has moved by then) `[R]`.
    """
    rows = np.arange(len(vx))
    moving = (np.hypot(vx, vy) >= np.float32(still_speed)) & ~starts
    begin = np.maximum.accumulate(np.where(starts, rows, 0))
    last = np.maximum.accumulate(np.where(moving, rows, -1))
    known = last >= begin
    last = np.where(known, last, 0)
    return np.where(known, np.arctan2(vy[last], vx[last]), 0.0).astype(np.float64), known
