"""The lanes of a road map as a graph: what follows what, how far it is along the lanes, and who drives in front of whom there.

A lane runs from 0 to the length of its centre line; its successors begin where it ends, so the distance from a place on one lane to a
place on another is the rest of the first, the whole lanes between, and the part of the last before the place: the shortest such way.
Lane changes are no part of the distance; `left` and `right` name the lanes beside a lane.

    leader of an agent on lane l at s:  the nearest agent with s' > s in l, else in the lanes that follow, within `REACH` metres

An agent drives on the lane that `twm_core.data.features.lanes.locate` assigns to it, but others meet it on every lane that holds it: where
lanes part or merge their areas overlap, and who stands there is in the way on both. Agents across a lane (more than `SAME_DIRECTION`
from its direction) neither lead nor follow on it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twm_core.data.features.lanes import OnLanes
from twm_core.data.features.leaders import REACH, SAME_DIRECTION, Neighbours
from twm_core.data.roads.lane_lines import distinct_points, line_length
from twm_core.data.scenario import Lane

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLOSE = 1e-3
"""Metres below which two agents stand at the same place of a lane, where neither leads."""


class Reached(NamedTuple):
    """A lane that is reached, by number, and the metres from the beginning of the first lane to its beginning (0 for the lane itself)."""

    lane: int
    distance: float


class RoadGraph:
    """The graph of lanes, addressed by their place in `lanes`; references to lanes that are not there are left out.

    Attributes:
        lanes: The lanes.
        length: float64 `[L]`, metres along the centre lines.
        successors: For each lane, the lanes that begin where it ends.
        predecessors: For each lane, the lanes that end where it begins.
        left: int64 `[L]`, the lane of the same direction to the left, -1 for none.
        right: int64 `[L]`, likewise to the right.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        number = {lane.id: i for i, lane in enumerate(lanes)}
        self.lanes = tuple(lanes)
        self.length: Floats = np.asarray([line_length(distinct_points(lane.centre)) for lane in lanes], dtype=np.float64)
        self.successors = [tuple(number[s] for s in lane.successors if s in number) for lane in lanes]
        before: list[list[int]] = [[] for _ in lanes]
        for i, following in enumerate(self.successors):
            for j in following:
                before[j].append(i)
        self.predecessors = [tuple(b) for b in before]
        self.left: Ints = np.asarray([number.get(lane.left or "", -1) for lane in lanes], dtype=np.int64)
        self.right: Ints = np.asarray([number.get(lane.right or "", -1) for lane in lanes], dtype=np.int64)

    def ahead(self, lane: int, reach: float = REACH) -> list[Reached]:
        """The lane itself, and those that begin at most `reach` metres after its end, nearest first.

        A lane that can be come back to stands there again, at the length of the round trip.
        """
        # A successor begins where the lane ends, so places are told by the beginnings of lanes.
        found = [Reached(lane, 0.0)]
        for j, gone in _nearest_first(self.successors, self.length, lane, reach):
            found.append(Reached(j, float(self.length[lane]) + gone))
        return found

    def behind(self, lane: int, reach: float = REACH) -> list[Reached]:
        """The lane itself, and those that end at most `reach` metres before its beginning, nearest first.

        Distances count from the beginning of the other lane to the beginning of this one.
        """
        found = [Reached(lane, 0.0)]
        for j, gone in _nearest_first(self.predecessors, self.length, lane, reach):
            found.append(Reached(j, float(self.length[j]) + gone))
        return found

    def distance(self, lane: int, along: float, to: int, to_along: float, reach: float = REACH) -> float:
        """Metres along the lanes from `along` on one lane forward to `to_along` on another; infinity if it is more than `reach`."""
        ways = [r.distance + to_along - along for r in self.ahead(lane, reach) if r.lane == to]
        return min((w for w in ways if 0 <= w <= reach), default=float("inf"))


def _nearest_first(following: Sequence[tuple[int, ...]], length: Floats, lane: int, reach: float) -> list[tuple[int, float]]:
    """Dijkstra's algorithm: the lanes after `lane` and the metres of whole lanes between, as far as `reach`."""
    found: list[tuple[int, float]] = []
    done: set[int] = set()
    queue = [(0.0, j) for j in following[lane]]
    while queue:
        gone, here = heapq.heappop(queue)
        if here in done or gone > reach:
            continue
        done.add(here)
        found.append((here, gone))
        for j in following[here]:
            if j not in done:
                heapq.heappush(queue, (gone + float(length[here]), j))
    return found


def along_lanes(step: Ints, on: OnLanes, graph: RoadGraph) -> tuple[Neighbours, NDArray[np.bool_]]:
    """Leader and follower of every row along the lanes.

    Args:
        step: Time step of each row, `[R]`.
        on: Where the rows are, from `locate` with `graph.lanes`.
        graph: The lanes.

    Returns:
        The neighbours, and for which rows `[R]` the lanes decide: those on a lane and along it. The others have none here.
    """
    rows = len(step)
    found = Neighbours(np.full(rows, -1, dtype=np.int64), np.full(rows, -1, dtype=np.int64), np.zeros(rows), np.zeros(rows))
    decides = (on.lane >= 0) & (np.abs(on.lane_angle) <= SAME_DIRECTION)
    keep = np.abs(on.held.angle) <= SAME_DIRECTION
    held = _Held(step, on.held.row[keep], on.held.lane[keep], on.held.along[keep], graph)
    mine = np.flatnonzero(decides)
    mine = mine[np.argsort(on.lane[mine], kind="stable")]
    lanes, begin = np.unique(on.lane[mine], return_index=True)
    for i, own in zip(lanes.tolist(), np.split(mine, begin[1:]) if len(mine) else [], strict=True):
        for forward, reached, other, gap in (
            (True, graph.ahead(i), found.leader, found.ahead),
            (False, graph.behind(i), found.follower, found.behind),
        ):
            for k, (to, distance) in enumerate(reached):
                row, place = held.next_to(own, to, on.along[own] if k == 0 else None, forward=forward)
                way = place - on.along[own] if forward else on.along[own] - place
                way = np.where(row >= 0, distance + way, np.inf)
                nearer = (way > CLOSE) & (way <= REACH) & ((other[own] < 0) | (way < gap[own]))
                other[own[nearer]] = row[nearer]
                gap[own[nearer]] = way[nearer]
    return found, decides


class _Held:
    """Who is held by which lane at which step, in the order of lane, step and place."""

    def __init__(self, step: Ints, row: Ints, lane: Ints, along: Floats, graph: RoadGraph) -> None:
        order = np.lexsort((along, step[row], lane))
        self.row, self.lane, self.along, self.step = row[order], lane[order], along[order], step
        # One number that ascends with lane, step and place: places are less than `stride` apart, steps counted from the first.
        self.stride = float(graph.length.max(initial=0.0)) + 1.0
        self.moment = step - step.min(initial=0)
        self.moments = int(self.moment.max(initial=0)) + 1
        self.key = (self.lane * self.moments + self.moment[self.row]) * self.stride + self.along

    def next_to(self, own: Ints, lane: int, place: Floats | None, *, forward: bool) -> tuple[Ints, Floats]:
        """The first other row on a lane beyond a place, at the step of each row of `own`, -1 for none, and where it is.

        Args:
            own: Rows `[n]`.
            lane: Where to look.
            place: Metres along the lane from which to look, `[n]`; None for all of it.
            forward: Whether beyond means farther along the lane.
        """
        base = (lane * self.moments + self.moment[own]) * self.stride
        if forward:
            at = np.searchsorted(self.key, base + (0.0 if place is None else place + CLOSE))
        else:
            at = np.searchsorted(self.key, base + (self.stride - CLOSE if place is None else place - CLOSE)) - 1
        # The lane may hold the row itself, where lanes overlap; beyond it stands who is looked for.
        end = max(0, len(self.key) - 1)
        at += (1 if forward else -1) * (self.row[np.clip(at, 0, end)] == own)
        safe = np.clip(at, 0, end)
        there = (at == safe) & (self.lane[safe] == lane) & (self.step[self.row[safe]] == self.step[own])
        return np.where(there, self.row[safe], -1), self.along[safe]
