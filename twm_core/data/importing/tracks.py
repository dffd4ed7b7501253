"""From rows of a table, in any order, to the tracks of a recording.

Rows are ordered by track and step. A row that repeats (track, step) is left out and counted, or refused where it says something else.
Steps that a track leaves out become rows with the code `OCCLUDED`; where it is away for more than `longest_gap` steps, or comes back
elsewhere or later as another type (numbers are given again in long recordings), a new track `name#2` begins. A type that changes while the
agent goes on, within `FLICKER` seconds and no farther away than either type can move in that time, is a detector's doubt: the track stays
one and has the type of most of its rows, the earliest where several are as frequent; the other rows are counted. Nothing is interpolated.
Where a long recording is cut into several, a `TrackMemory` carries these names from one to the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twm_core.data import limits
from twm_core.data.recording import UNKNOWN, Recording
from twm_core.data.scenario import OBSERVED, OCCLUDED
from twm_core.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FLICKER = 1.0
"""Seconds within which an agent that goes on at its place is the same one, whatever type it has now."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a table, `R` of them in any order.

    Attributes:
        track: int64 or str `[R]`, the name of the row's track.
        step: int64 `[R]`, from 0.
        columns: float64 `[R]` each; names out of `twm_core.data.recording.COLUMNS`.
        type: int64 `[R]`, index into `twm_core.specs.AGENT_TYPES`.
        code: uint8 `[R]`; all `OBSERVED` where None.
        lane: int64 `[R]`, 1 + index into the recording's `lane_names`, 0 where unknown.
        leader: Names as in `track` `[R]`, of the agent in front.
        follower: Likewise, of the agent behind.
        no_track: The value of `leader` and `follower` where there is none.
        line: int64 `[R]`, number of the row in its file, for messages.
    """

    track: NDArray[Any]
    step: Ints
    columns: Mapping[str, Floats]
    type: Ints
    code: NDArray[np.uint8] | None = None
    lane: Ints | None = None
    leader: NDArray[Any] | None = None
    follower: NDArray[Any] | None = None
    no_track: Any = 0
    line: Ints | None = None


@dataclass
class TrackMemory:
    """What the earlier recordings of a group showed of its tracks; `make_recording` reads it and adds to it.

    Attributes:
        last: For each name, the last step at which it was seen (counted from the beginning of the group), its type, how many tracks have
            had this name, and where it was.
    """

    last: dict[str, tuple[int, int, int, float, float]] = field(default_factory=dict)


def make_recording(
    rows: Rows,
    *,
    file: str,
    longest_gap: int | None = None,
    contradictions: Literal["error", "first"] = "error",
    steps: int | None = None,
    skipped: Mapping[str, int] | None = None,
    memory: TrackMemory | None = None,
    begin_step: int = 0,
    **rest: Any,
) -> Recording:
    """The recording that holds these rows.

    Args:
        rows: At least one row.
        file: Name of the file, for messages.
        longest_gap: Most steps that a track may be away; None for any number.
        contradictions: What to do with a row that says something else than an earlier one of the same track and step: refuse it, or keep
            the first and count the others.
        steps: Steps of the recording; up to the last row by default.
        skipped: Counts of what the reader left out.
        memory: What the recordings before this one in its group showed; the recordings of a group must come in order of time.
        begin_step: With `memory`, the step of the group at which this recording begins.
        **rest: Further fields of `Recording`: `id`, `site`, `group`, `dt`, `start`, `lane_names`, `road`, ...

    Raises:
        DataError: Rows contradict one another, or a step is negative.
    """
    counts = Counter(skipped or {})
    names, number = np.unique(rows.track, return_inverse=True)
    order = np.lexsort((np.arange(len(number)), rows.step, number))
    if len(rows.step) and rows.step.min() < 0:
        raise DataError(f"{_where(rows, file, int(np.argmin(rows.step)))}: its time is before the beginning", "repair the row")
    order = _without_repetitions(rows, names, number, order, file, contradictions, counts)
    step, owner, kind = rows.step[order], number[order], rows.type[order]
    new = np.ones(len(order), dtype=bool)
    away = np.diff(step)
    apart = np.diff(owner) != 0
    x, y = (rows.columns[name][order] for name in ("x", "y"))
    broken = np.diff(kind) != 0
    broken &= ~_goes_on(kind[:-1], kind[1:], away * rest["dt"], np.hypot(np.diff(x), np.diff(y)))
    if longest_gap is not None:
        broken |= away - 1 > longest_gap
    new[1:] = apart | broken
    begin: Ints = np.flatnonzero(new)
    first = step[begin]
    length = step[np.append(begin[1:], len(step)) - 1] - first + 1
    usual = _usual(kind, begin)
    counts["rows of another type than most rows of their track"] += int(
        (kind != np.repeat(usual, np.diff(np.append(begin, len(kind))))).sum()
    )
    ends = np.append(begin[1:], len(step)) - 1
    places = np.stack([x[begin], y[begin], x[ends], y[ends]], axis=1)
    track, anew = _names(names, owner[begin], first + begin_step, length, usual, places, longest_gap, memory, rest["dt"])
    counts["tracks that begin anew after a long gap or as another type"] += anew
    offset = np.cumsum(length) - length
    piece = np.cumsum(new) - 1
    place = offset[piece] + step - first[piece]
    total = int(length.sum())
    code = np.full(total, OCCLUDED, dtype=np.uint8)
    code[place] = OBSERVED if rows.code is None else rows.code[order]
    columns: dict[str, Floats] = {}
    for name, values in rows.columns.items():
        columns[name] = np.full(total, np.nan)
        columns[name][place] = values[order]
    lane = None
    if rows.lane is not None:
        lane = np.zeros(total, dtype=np.int64)
        lane[place] = rows.lane[order]

    def neighbours(values: NDArray[Any] | None) -> Ints | None:
        if values is None:
            return None
        found = np.full(total, UNKNOWN, dtype=np.int64)
        found[place] = _numbers(values[order], step, rows.no_track, names, owner[begin], first, length)
        return found

    return Recording(
        steps=int((first + length).max(initial=0)) if steps is None else steps,
        track=track,
        type=usual,
        first=first,
        length=length,
        columns=columns,
        code=code,
        lane=lane,
        leader=neighbours(rows.leader),
        follower=neighbours(rows.follower),
        skipped={reason: n for reason, n in counts.items() if n},
        **rest,
    )


def _where(rows: Rows, file: str, row: int) -> str:
    return f"{file}, row {row + 1 if rows.line is None else int(rows.line[row])}"


def _without_repetitions(
    rows: Rows, names: NDArray[Any], number: Ints, order: Ints, file: str, contradictions: str, counts: Counter[str]
) -> Ints:
    """The order without rows whose (track, step) stands before them."""
    again = np.zeros(len(order), dtype=bool)
    again[1:] = (np.diff(number[order]) == 0) & (np.diff(rows.step[order]) == 0)
    if not again.any():
        return order
    earlier = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))]
    differs = np.zeros(len(order), dtype=bool)
    for values in (*rows.columns.values(), rows.type, rows.lane):
        if values is not None:
            a, b = values[order], values[earlier]
            differs |= again & ~((a == b) | ((a != a) & (b != b)))  # NaN repeats NaN
    if differs.any() and contradictions == "error":
        at = int(np.flatnonzero(differs)[0])
        row, before = int(order[at]), int(earlier[at])
        raise DataError(
            f"{_where(rows, file, row)}: track {names[number[row]]}, step {int(rows.step[row])} stands in"
            f" {_where(rows, file, before).removeprefix(file + ', ')} already, with other values ({int(differs.sum())} such rows)",
            "remove one of the two",
        )
    counts["rows that repeat another"] += int((again & ~differs).sum())
    counts["rows that contradict an earlier one of their track and step"] += int(differs.sum())
    return order[~again]


def _goes_on(before: Any, after: Any, seconds: Any, metres: Any) -> Any:
    """Whether an agent of one type may be the one that was of another type so many seconds before, so many metres away."""
    speed, noise = np.minimum(limits.SPEED[before], limits.SPEED[after]), np.maximum(limits.NOISE[before], limits.NOISE[after])
    return (seconds <= FLICKER + 1e-6) & (metres <= speed * seconds + noise)


def _usual(kind: Ints, begin: Ints) -> Ints:
    """The commonest type of each piece of rows, the earliest of equally common ones; `begin` holds the first row of each."""
    usual = kind[begin].copy()
    ends = np.append(begin[1:], len(kind))
    changed = np.logical_or.reduceat(kind != np.repeat(usual, ends - begin), begin)
    for i in np.flatnonzero(changed).tolist():
        usual[i] = Counter(kind[begin[i] : ends[i]].tolist()).most_common(1)[0][0]
    return usual


def _names(
    names: NDArray[Any],
    owner: Ints,
    first: Ints,
    length: Ints,
    kind: Ints,
    places: Floats,
    longest_gap: int | None,
    memory: TrackMemory | None,
    dt: float,
) -> tuple[tuple[str, ...], int]:
    """Names of the pieces, `7`, `7#2`, `7#3` where track 7 was cut, and how many of them begin anew; `places` holds x and y of the first
    and of the last row of each."""
    last = {} if memory is None else memory.last
    found: list[str] = []
    anew = 0
    before = -1
    for i, begin, steps, what, place in zip(*(a.tolist() for a in (owner, first, length, kind, places)), strict=True):
        name = str(names[i])
        seen, was, times, x, y = last.get(name, (begin, what, 1, place[0], place[1]))
        other = was != what and not _goes_on(was, what, (begin - seen) * dt, float(np.hypot(place[0] - x, place[1] - y)))
        # Within a recording every further piece of a track was cut; the first one goes on where the recording before it ended.
        again = i == before or other or (longest_gap is not None and begin - seen - 1 > longest_gap)
        times += again
        anew += again
        last[name] = (begin + steps - 1, what, times, place[2], place[3])
        found.append(name if times == 1 else f"{name}#{times}")
        before = i
    return tuple(found), anew


def _numbers(values: NDArray[Any], step: Ints, none: Any, names: NDArray[Any], owner: Ints, first: Ints, length: Ints) -> Ints:
    """Track numbers of the named neighbours at these steps; `UNKNOWN` where the named one is not there at that step."""
    at = np.clip(np.searchsorted(names, values), 0, len(names) - 1)
    exists = names[at] == values
    # Pieces stand by owner and time: the last piece of that owner that begins by this step.
    key = owner * (int(step.max(initial=0)) + 2) + first
    piece = np.searchsorted(key, at * (int(step.max(initial=0)) + 2) + step, side="right") - 1
    piece = np.clip(piece, 0, len(owner) - 1)
    there = exists & (owner[piece] == at) & (step >= first[piece]) & (step < first[piece] + length[piece])
    found = np.where(there, piece, UNKNOWN)
    return np.where(values == none, -1, found).astype(np.int64)
