"""Runs of successive steps that tell one recorded movement from every other, and a hash of each.

The length of a step, in millimetres, does not change when a recording is moved, turned or cut out of another. A run begins where the length
changes and goes on for `RUN` steps, or longer until it holds `VARIED` different lengths: positions that were interpolated between a few
recorded ones keep a length for several steps. What stands, moves evenly or is seen too briefly has no run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

RUN = 16
"""Steps of the shortest run."""

VARIED = 5
"""Different lengths that a run holds."""

_AHEAD = 64
"""Changes of the length after which a run that is still too even is given up."""

_FACTOR = 0x100000001B3 | 1
_INVERSE = pow(_FACTOR, -1, 1 << 64)

Ints = NDArray[np.int64]


class Runs(NamedTuple):
    """Runs, in order: each goes from the row before `begin` to the row before `end`, and has a hash below 2^62."""

    begin: Ints
    end: Ints
    hash: Ints


def motion_runs(position: NDArray[np.float64], follows: NDArray[np.bool_], every: int = 1) -> Runs:
    """The runs of rows that stand track by track.

    Args:
        position: `[R, 2]`, metres.
        follows: `[R]`, whether the row before is the step before of the same track.
        every: About one run in so many is given, a power of 2. Which, depends on the movement alone.
    """
    nothing = np.zeros(0, dtype=np.int64)
    if len(position) <= RUN:
        return Runs(nothing, nothing, nothing)
    # The shift keeps decimals, such as 0.1205 m, off the edges between two numbers, where the last bit would decide.
    step = np.diff(position, axis=0, prepend=position[:1])
    size = np.where(follows, np.rint(np.minimum(1000 * np.hypot(step[:, 0], step[:, 1]), 1e15) + 0.137), -1).astype(np.int64)
    changes = np.flatnonzero(follows & (np.diff(size, prepend=-1) != 0) & np.append(False, follows[:-1]))
    if len(changes) < VARIED:
        return Runs(nothing, nothing, nothing)
    starts = np.arange(len(changes))
    if every > 1:
        start = _mixed(size[changes].astype(np.uint64) << np.uint64(32) ^ size[changes - 1].astype(np.uint64))
        starts = np.flatnonzero(start % np.uint64(every) == 0)
    stops = np.append(np.flatnonzero(~follows), len(size))
    stop = stops[np.searchsorted(stops, changes[starts], side="right")]
    reach = _reach(size[changes], starts, np.searchsorted(changes, stop))
    known = np.flatnonzero(reach >= 0)
    begin = changes[starts[known]]
    end = np.maximum(begin + RUN, changes[reach[known]] + 1)
    whole = end <= stop[known]
    begin, end = begin[whole], end[whole]
    return Runs(begin, end, _hashes(size, begin, end))


def _reach(value: Ints, start: Ints, stop: Ints) -> Ints:
    """For each start `[S]` the first change from it on with which `VARIED` values have been seen, -1 where there is none before `stop`.

    Args:
        value: The length after each change, `[C]`.
        start: Numbers of changes, `[S]`.
        stop: For each start the number of the change at which its track has ended, `[S]`.
    """
    count = len(value)
    # The last place of the same value before: a value is new to a run if that lies before the run.
    order = np.argsort(value, kind="stable")
    before = np.full(count, -1)
    same = np.diff(value[order]) == 0
    before[order[1:][same]] = order[:-1][same]
    reach = np.full(len(start), -1)
    open_ = np.arange(len(start))
    for ahead in (RUN, _AHEAD):
        windows = sliding_window_view(np.append(before, np.full(ahead, count)), ahead)
        for some in np.array_split(open_, len(open_) // (1 << 16) + 1):
            new = windows[start[some]] < start[some, None]
            number = np.cumsum(new, axis=1, dtype=np.uint8)
            enough = number[:, -1] >= VARIED
            reach[some[enough]] = start[some[enough]] + np.argmax(number[enough] >= VARIED, axis=1)
        open_ = np.flatnonzero((reach < 0) & (start + ahead < stop))
    return np.where(reach < stop, reach, -1)


def _hashes(size: Ints, begin: Ints, end: Ints) -> Ints:
    """A hash of `size[begin:end]` each: differences of a running sum of mixed lengths times powers of a factor, modulo 2^64."""
    power = np.full(len(size), _FACTOR, dtype=np.uint64)
    power[0] = 1
    inverse = np.full(len(size), _INVERSE, dtype=np.uint64)
    inverse[0] = 1
    total = np.append(np.uint64(0), np.cumsum(_mixed(size.astype(np.uint64)) * np.cumprod(power)))
    found = (total[end] - total[begin]) * np.cumprod(inverse)[begin]
    return (_mixed(found + (end - begin).astype(np.uint64)) >> np.uint64(2)).astype(np.int64)


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each number spread over all bits (the finaliser of SplitMix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
