"""Which lane holds an agent, and where in it the agent is.

An agent is in the lane whose polygon (left bound, then right bound backwards; see `lane_lines`) holds its centre; where several overlap,
in the one whose direction agrees best with its heading. Ahead of a lane the road goes on through the straightest successor, so
`lane_turn_*` and `lane_end` do not depend on where a map happens to cut its lanes. Everything is computed from one state alone, hence
causal, and the same state is always put into the same lane.

Shapes: points `[R, 2]`, headings `[R]`, polylines `[P, 2]`; metres and radians. Lanes are tried against the points of nearby squares of
`CELL` metres only, so the time grows with the points that lanes hold, not with points times lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data.motion import Floats
from twm_core.data.roads.lane_lines import boundaries, distinct_points, inside_polygon, line_length
from twm_core.data.scenario import Lane

Ints = NDArray[np.int64]

REACH = 100.0
"""How far ahead lanes are followed, the largest value of `lane_end`."""

CELL = 20.0
"""Side of the squares into which points are sorted, metres."""

_BLOCK = 1 << 20
"""Numbers in one temporary array, about, so that memory stays bounded."""


@dataclass(frozen=True)
class Path:
    """A centre line and what follows it: segments with start, unit direction, angle, and distance along; `own` segments are the lane's."""

    start: Floats
    unit: Floats
    angle: Floats
    size: Floats
    along: Floats
    own: int
    total: float


def _angle_at_end(lane: Lane) -> float:
    ends = distinct_points(lane.centre)[-2:]
    return float(np.arctan2(*(ends[-1] - ends[0])[::-1]))


def follow(lane: Lane, lanes: dict[str, Lane]) -> Path:
    """The lane and its straightest successors, far enough for `REACH` metres from anywhere on it."""
    lines, visited, ahead, here = [distinct_points(lane.centre)], {lane.id}, 0.0, lane
    while ahead < REACH:
        nexts = [lanes[s] for s in here.successors if s in lanes and s not in visited]
        if not nexts:
            break
        end = _angle_at_end(here)
        here = min(nexts, key=lambda n: (abs(float(wrap(np.asarray(_angle_at_end(n) - end)))), n.id))
        visited.add(here.id)
        line = distinct_points(here.centre)
        ahead += line_length(line)
        lines.append(line)
    points = distinct_points(np.concatenate(lines))
    step = np.diff(points, axis=0)
    size = np.hypot(*step.T)
    if not len(size):
        step, size, points = np.asarray([[1.0, 0.0]]), np.asarray([1e-6]), points[:1].repeat(2, axis=0)
    along = np.concatenate([[0.0], np.cumsum(size)])
    own = max(1, min(len(lines[0]) - 1, len(size)))
    return Path(points[:-1], step / size[:, None], np.arctan2(step[:, 1], step[:, 0]), size, along[:-1], own, float(along[-1]))


class Held(NamedTuple):
    """Which lanes hold which points, `[M]` each: a point stands here once for every lane that it lies in.

    `row` and `lane` are indices of the point and the lane, `along` metres along the lane's centre line, `angle` heading minus direction.
    """

    row: Ints
    lane: Ints
    along: Floats
    angle: Floats


@dataclass(frozen=True)
class OnLanes:
    """Where each state `[R]` is: `lane` (index into the lanes, -1 for none) and its features, 0 where no lane is known.

    `along` is the distance along the lane's centre line; `held` tells every lane that a state lies in.
    """

    lane: Ints
    along: Floats
    lane_offset: Floats
    lane_angle: Floats
    lane_turn_20: Floats
    lane_turn_50: Floats
    lane_end: Floats
    speed_limit: Floats
    lane_known: Floats
    lane_left: Floats
    lane_right: Floats
    held: Held


LANE_FEATURES = (
    "lane_offset",
    "lane_angle",
    "lane_turn_20",
    "lane_turn_50",
    "lane_end",
    "speed_limit",
    "lane_known",
    "lane_left",
    "lane_right",
)
"""The features that `locate` gives."""


def locate(points: Floats, heading: Floats, lanes: Sequence[Lane]) -> OnLanes:
    """Put every state into a lane.

    Args:
        points: `[R, 2]`, vehicle centres in the lanes' frame.
        heading: `[R]`.
        lanes: The road map.
    """
    rows = len(points)
    lane = np.full(rows, -1, dtype=np.int64)
    best = np.full(rows, np.inf)
    values = {name: np.zeros(rows) for name in ("along", *LANE_FEATURES)}
    by_id = {entry.id: entry for entry in lanes}
    squares = _Squares(points)
    held: list[tuple[Ints, Ints, Floats, Floats]] = []
    for i, here in enumerate(lanes):
        left, right = boundaries(here)
        ring = np.concatenate([left, right[::-1]])
        near = squares.within(ring.min(axis=0), ring.max(axis=0))
        near = near[inside_polygon(points[near], ring)]
        if not len(near):
            continue
        path = follow(here, by_id)
        along, offset, segment = project(points[near], path)
        angle = wrap(heading[near] - path.angle[segment])
        held.append((near, np.full(len(near), i, dtype=np.int64), along, angle))
        better = np.abs(angle) < best[near]
        take = near[better]
        along, offset, angle, segment = (v[better] for v in (along, offset, angle, segment))
        best[take] = np.abs(angle)
        lane[take] = i
        values["along"][take] = along
        values["lane_offset"][take] = offset
        values["lane_angle"][take] = angle
        for metres in (20, 50):
            ahead = np.searchsorted(path.along, np.minimum(along + metres, path.total), side="right") - 1
            values[f"lane_turn_{metres}"][take] = wrap(path.angle[ahead] - path.angle[segment])
        values["lane_end"][take] = np.clip(path.total - along, 0.0, REACH)
        values["speed_limit"][take] = here.speed_limit or 0.0
        values["lane_known"][take] = 1.0
        values["lane_left"][take] = float(here.left is not None)
        values["lane_right"][take] = float(here.right is not None)
    none = np.zeros(0, dtype=np.int64)
    found = Held(*(np.concatenate(c) for c in zip(*held, strict=True))) if held else Held(none, none, np.zeros(0), np.zeros(0))
    return OnLanes(lane=lane, held=found, **values)


class _Squares:
    """Points `[R, 2]` sorted into squares of `CELL` metres, to find those in a box."""

    def __init__(self, points: Floats) -> None:
        self.points = points
        self.low = points.min(axis=0) if len(points) else np.zeros(2)
        square = np.floor((points - self.low) / CELL).astype(np.int64)
        self.last = square.max(axis=0) if len(points) else np.zeros(2, dtype=np.int64)
        key = square[:, 0] * (self.last[1] + 1) + square[:, 1]
        self.order = np.argsort(key, kind="stable")
        self.key = key[self.order]

    def within(self, low: Floats, high: Floats) -> Ints:
        """Indices of the points in the box from `low` to `high`, ascending."""
        first = np.maximum(np.floor((low - self.low) / CELL), 0)
        last = np.minimum(np.floor((high - self.low) / CELL), self.last)
        if (first > last).any() or not len(self.points):
            return np.zeros(0, dtype=np.int64)
        column = np.arange(int(first[0]), int(last[0]) + 1) * (int(self.last[1]) + 1)
        begin = np.searchsorted(self.key, column + int(first[1]), side="left")
        end = np.searchsorted(self.key, column + int(last[1]), side="right")
        near = np.concatenate([self.order[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)])
        points = self.points[near]
        return np.sort(near[((points >= low) & (points <= high)).all(axis=1)])


def project(points: Floats, path: Path) -> tuple[Floats, Floats, Ints]:
    """Distance along the path, signed offset (left positive) and nearest own segment of each point `[R, 2]`."""
    unit, size, start = path.unit[: path.own], path.size[: path.own], path.start[: path.own]
    segment = np.zeros(len(points), dtype=np.int64)
    block = max(1, _BLOCK // path.own)
    for begin in range(0, len(points), block):
        x, y = points[begin : begin + block].T[:, :, None] - start.T[:, None, :]
        forward = np.clip(x * unit[:, 0] + y * unit[:, 1], 0.0, size)
        segment[begin : begin + block] = np.argmin((x - forward * unit[:, 0]) ** 2 + (y - forward * unit[:, 1]) ** 2, axis=1)
    x, y = (points - start[segment]).T
    ux, uy = unit[segment].T
    forward = np.clip(x * ux + y * uy, 0.0, size[segment])
    return path.along[segment] + forward, ux * y - uy * x, segment
