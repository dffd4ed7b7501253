"""Headings from motion, causally, and the way from a point on the outline of a vehicle to its centre.

The heading of a row is the direction from the agent's position `LOOKBACK` earlier (or its first, where it came later) to its present
one, if the two are at least `MOVED` apart; otherwise what it was before; before any motion, what the caller knows. No later row is
looked at. A `HeadingMemory` carries what is needed from one recording of a group to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LOOKBACK = 0.5
"""Seconds over which a direction of motion is taken."""

MOVED = 0.5
"""Metres below which two positions give no direction."""

OUT_OF_SIGHT = 2.0
"""Seconds away after which earlier positions say nothing any more."""


@dataclass
class HeadingMemory:
    """What the earlier recordings of a group leave behind.

    Attributes:
        track: int64 `[P]`, tracks of the rows that later ones look back at, by track and step.
        step: int64 `[P]`, their steps, counted from the beginning of the group.
        x: float64 `[P]`, their positions.
        y: float64 `[P]`.
        heading: Last heading of each track, with the step at which it was seen.
    """

    track: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    step: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    x: Floats = field(default_factory=lambda: np.zeros(0))
    y: Floats = field(default_factory=lambda: np.zeros(0))
    heading: dict[int, tuple[float, int]] = field(default_factory=dict)


def motion_headings(track: Ints, step: Ints, x: Floats, y: Floats, dt: float, known: Floats, memory: HeadingMemory) -> Floats:
    """Direction of motion of every row.

    Args:
        track: `[R]`.
        step: `[R]`, counted from the beginning of the group; after those of earlier calls with this memory.
        x: `[R]` metres.
        y: `[R]` metres.
        dt: Seconds between steps.
        known: `[R]`, the heading before any motion; NaN where nothing is known.
        memory: Is read and brought up to date.

    Returns:
        `[R]` radians, NaN before any motion where `known` is.
    """
    back, lost = max(1, round(LOOKBACK / dt)), max(1, round(OUT_OF_SIGHT / dt))
    earlier = len(memory.track)
    tracks, steps = np.concatenate([memory.track, track]), np.concatenate([memory.step, step])
    xs, ys = np.concatenate([memory.x, x]), np.concatenate([memory.y, y])
    guess = np.concatenate([np.full(earlier, np.nan), known])
    order = np.lexsort((steps, tracks))
    tracks, steps, xs, ys, guess = tracks[order], steps[order], xs[order], ys[order], guess[order]
    rows = np.arange(len(order))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(tracks) != 0) | (np.diff(steps) > lost)
    run = np.maximum.accumulate(np.where(new, rows, 0))  # First row of the stretch that each row belongs to.
    spacing = int(steps.max(initial=0)) - int(steps.min(initial=0)) + back + lost + 2
    key = np.cumsum(new) * spacing + steps - int(steps.min(initial=0))
    base = np.maximum(np.searchsorted(key, key - back, side="right") - 1, run)
    dx, dy = xs - xs[base], ys - ys[base]
    moved = np.hypot(dx, dy) >= MOVED
    heading = np.where(moved, np.arctan2(dy, dx), np.nan)
    heading[order < earlier] = np.nan  # these had theirs in an earlier call; the memory has the last one
    _hold(heading, tracks, steps, run, guess, memory, lost)
    ends = np.flatnonzero(np.append(np.diff(tracks) != 0, True)) if len(tracks) else rows
    memory.heading.update((int(tracks[i]), (float(heading[i]), int(steps[i]))) for i in ends)
    # Kept are, of every track in sight, the row from which the next one would look back, and those after it.
    latest = int(steps.max(initial=0))
    place = np.searchsorted(key, key[ends] - steps[ends] + latest + 1 - back, side="right") - 1
    first = np.where(steps[ends] >= latest - lost, np.maximum(np.minimum(place, ends), run[ends]), ends + 1)
    kept = rows >= np.repeat(first, np.diff(ends, prepend=-1))
    memory.track, memory.step, memory.x, memory.y = tracks[kept], steps[kept], xs[kept], ys[kept]
    result = np.empty(len(order))
    result[order] = heading
    return result[earlier:]


def _hold(heading: Floats, tracks: Ints, steps: Ints, run: Ints, guess: Floats, memory: HeadingMemory, lost: int) -> None:
    """Fill what has no direction of motion, in place: the last one within the stretch, else an earlier recording's, else the guess."""
    starts = np.unique(run)
    for i in starts[np.isnan(heading[starts])].tolist():
        before, seen = memory.heading.get(int(tracks[i]), (np.nan, 0))
        heading[i] = before if steps[i] - seen <= lost and not np.isnan(before) else guess[i]
    last = np.maximum.accumulate(np.where(np.isnan(heading), 0, np.arange(len(heading))))
    held = heading[np.maximum(last, run)]
    heading[:] = np.where(np.isnan(held), guess, held)


def to_centre(x: Floats, y: Floats, heading: Floats, length: Floats, *, front: bool = True) -> tuple[Floats, Floats]:
    """Centres of boxes, given the middle of their front edge (or rear edge): half a length back (or ahead) along the heading.

    Where heading or length are not known, the point itself.
    """
    half = np.where(np.isnan(heading) | np.isnan(length), 0.0, length / 2) * (1 if front else -1)
    angle = np.where(np.isnan(heading), 0.0, heading)
    return x - half * np.cos(angle), y - half * np.sin(angle)


def along_axis(axis: Floats, direction: Floats) -> Floats:
    """The heading, `axis` or its opposite, that lies nearer to `direction`; `axis` itself where that is NaN."""
    opposite = np.cos(axis - direction) < 0  # NaN compares false.
    return wrap(np.where(opposite, axis + np.pi, axis))
