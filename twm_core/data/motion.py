"""Causal motion: backward differences along tracks that stand one after another in flat arrays.

    d[r] = (v[r] - v[r-1]) / dt[r]      inside a track
    d[r] = 0                            at the first row of a track, where nothing is known yet

Central differences would put the next position into the present velocity, which is the classic leak of trajectory benchmarks.
Rows `[R]` or `[R, ...]`; `starts` is true at the first row of every track.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap

Floats = NDArray[np.float64]


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


def hold_last(values: Floats, starts: NDArray[np.bool_]) -> Floats:
    """The last value of the same track, up to each row, that is not NaN; NaN where there was none yet.

    Args:
        values: `[R]`.
        starts: bool `[R]`.
    """
    rows = np.arange(len(values))
    begin = np.maximum.accumulate(np.where(starts, rows, 0))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, rows))
    return np.where(last >= begin, values[np.maximum(last, 0)], np.nan) if len(values) else values


def heading_of_motion(
    vx: NDArray[np.float32], vy: NDArray[np.float32], starts: NDArray[np.bool_], still_speed: float | Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Direction of the last displacement, kept while slower than `still_speed`, 0 until the track first moves.

    Args:
        vx: float32 `[R]`, backward differences. Float32 on purpose: windows apply the same threshold to the same numbers.
        vy: Likewise.
        starts: bool `[R]`.
        still_speed: m/s, one number or `[R]`.

    Returns:
        The heading in rad `[R]`, and whether it is known (the track has moved by then) `[R]`.
    """
    moving = (np.hypot(vx, vy) >= np.asarray(still_speed, dtype=np.float32)) & ~starts
    heading = hold_last(np.where(moving, np.arctan2(vy, vx), np.float32(np.nan)).astype(np.float64), starts)
    known = ~np.isnan(heading)
    return np.where(known, heading, 0.0), known
