"""Who drives in front of whom and who behind, at each step from what is seen at that step (so it is causal).

Without lanes, the leader of an agent is the nearest other one in front of it within a corridor of its own frame (origin at its position,
x along its heading) that drives in about the same direction; the follower is the nearest one behind in the same corridor. With lanes, see
`twm_core.data.features.road_graph.along_lanes`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REACH = 100.0
"""Metres up to which leaders and followers are looked for."""

HALF_WIDTH = 1.8
"""Half the width of the corridor, metres: half a lane."""

SAME_DIRECTION = np.pi / 3
"""Largest difference of headings, radians."""

_LEAST_COSINE = np.float32(np.cos(SAME_DIRECTION) - 1e-7)

_BLOCK = 1 << 16
"""Pairs that are compared at once, about."""


class Leaders(NamedTuple):
    """For each row: distance between centres along the heading (m), the leader's speed along it minus the own (m/s), and whether
    there is a leader (1 or 0; the others are 0 where there is none)."""

    gap: Floats
    speed: Floats
    known: Floats


class Neighbours(NamedTuple):
    """For each row, the rows of its leader and its follower (-1 for none), and how far they are along the road (m, 0 for none)."""

    leader: Ints
    follower: Ints
    ahead: Floats
    behind: Floats


class Relative(NamedTuple):
    """Another agent seen from an own frame, 0 where there is none: ahead and left (m), and their rates of change without turning (m/s)."""

    ahead: Floats
    left: Floats
    ahead_speed: Floats
    left_speed: Floats


def find_leaders(step: Ints, xy: Floats, heading: Floats, velocity: Floats) -> Leaders:
    """The leader of every row, by the corridor alone.

    Args:
        step: Time step of each row, `[R]`.
        xy: Positions `[R, 2]`, metres.
        heading: Headings `[R]`, radians.
        velocity: Velocities `[R, 2]`, metres per second.
    """
    leader = in_corridor(step, xy, heading).leader
    ahead = relative(leader, xy, heading, velocity)
    return Leaders(ahead.ahead, ahead.ahead_speed, (leader >= 0).astype(np.float64))


def relative(other: Ints, xy: Floats, heading: Floats, velocity: Floats) -> Relative:
    """Where the row `other` (`[R]`, -1 for none) is in the frame of each row, and how it moves relative to it."""
    known = other >= 0
    cos, sin = np.cos(heading), np.sin(heading)
    away = np.where(known[:, None], xy[other] - xy, 0.0)
    moved = np.where(known[:, None], velocity[other] - velocity, 0.0)
    return Relative(
        away[:, 0] * cos + away[:, 1] * sin,
        away[:, 1] * cos - away[:, 0] * sin,
        moved[:, 0] * cos + moved[:, 1] * sin,
        moved[:, 1] * cos - moved[:, 0] * sin,
    )


def in_corridor(step: Ints, xy: Floats, heading: Floats, wanted: NDArray[np.bool_] | None = None) -> Neighbours:
    """Leader and follower of every row, by the corridor.

    Args:
        step: Time step of each row, `[R]`.
        xy: Positions `[R, 2]`, metres.
        heading: Headings `[R]`, radians.
        wanted: bool `[R]`, the rows whose neighbours are looked for (among all rows); all by default.
    """
    rows = len(step)
    found = Neighbours(np.full(rows, -1, dtype=np.int64), np.full(rows, -1, dtype=np.int64), np.zeros(rows), np.zeros(rows))
    mine = np.arange(rows) if wanted is None else np.flatnonzero(wanted)
    if not len(mine):
        return found
    order = np.argsort(step, kind="stable")
    steps, begin, count = np.unique(step[order], return_index=True, return_counts=True)
    mine = mine[np.argsort(step[mine], kind="stable")]
    my_begin = np.searchsorted(step[mine], steps)
    my_count = np.searchsorted(step[mine], steps, side="right") - my_begin
    # Single precision is 0.1 mm at 1 km from the origin, and twice as fast.
    frame = np.stack([xy[:, 0], xy[:, 1], np.cos(heading), np.sin(heading)]).astype(np.float32)
    # Steps of like numbers of agents are compared at once, padded to the largest.
    by_size = np.lexsort((my_count, count))
    by_size = by_size[my_count[by_size] > 0]
    at = 0
    while at < len(by_size):
        # The sizes of later steps only grow, so the block is chosen by the step that would end it.
        end = at + max(1, _BLOCK // int(count[by_size[at]] * my_count[by_size[at]]))
        batch = by_size[at:end]
        while len(batch) > 1 and len(batch) * int(count[batch].max()) * int(my_count[batch].max()) > 2 * _BLOCK:
            batch = batch[: len(batch) // 2]
        at += len(batch)
        all_rows = _padded(order, begin[batch], count[batch])
        own_rows = _padded(mine, my_begin[batch], my_count[batch])
        _search(frame, own_rows, all_rows, found)
    return found


def _padded(rows: Ints, begin: Ints, count: Ints) -> Ints:
    """The rows of each step of a batch, `[S, A]`, filled up with -1."""
    place = np.arange(int(count.max()))
    return np.where(place < count[:, None], rows[np.minimum(begin[:, None] + place, len(rows) - 1)], -1)


def _search(frame: NDArray[np.float32], own: Ints, others: Ints, found: Neighbours) -> None:
    """Fill in the neighbours of the rows `own` `[S, B]` among `others` `[S, A]`."""
    x, y, cos, sin = frame[:, own][..., None]  # [S, B, 1] each
    x2, y2, cos2, sin2 = frame[:, others][:, :, None, :]  # [S, 1, A] each
    dx, dy = x2 - x, y2 - y
    ahead = dx * cos
    ahead += dy * sin
    dy *= cos
    dx *= sin
    dy -= dx  # to the left
    suits = np.abs(dy, out=dy) <= HALF_WIDTH
    turned = cos * cos2
    turned += sin * sin2
    suits &= turned >= _LEAST_COSINE
    suits &= (others >= 0)[:, None, :]
    ahead[~suits] = np.nan
    on_lane = own >= 0
    for number, distance in ((found.leader, found.ahead), (found.follower, found.behind)):
        away = np.where(ahead > 0, ahead, np.inf)
        nearest = away.argmin(axis=2)
        gap = np.take_along_axis(away, nearest[..., None], axis=2)[..., 0]
        there = on_lane & (gap <= REACH)
        number[own[there]] = np.take_along_axis(others, nearest, axis=1)[there]
        distance[own[there]] = gap[there]
        np.negative(ahead, out=ahead)  # then the same behind
