"""Lane geometry: which lane holds a vehicle, and where in it the vehicle is.

A lane's centre line is the mean of its two bounds, both resampled at the same fractions of their length (about 2 m apart). A vehicle is
in the lane whose polygon (left bound, then right bound backwards) holds its centre; where several overlap, in the one whose direction
agrees best with its heading. Ahead of a lane the road goes on through the straightest successor, so `lane_turn_*` and `lane_end` do
not depend on where a map happens to cut its lanes. Everything is computed from one state alone, hence causal.

Shapes: points `[R, 2]`, headings `[R]`, polylines `[P, 2]`; metres and radians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import Lane
from twm_datasets.commonroad_xml import Lanelet
from twm_datasets.motion import Floats, wrap

SPACING = 2.0
"""Metres between two points of a centre line, about."""

REACH = 100.0
"""How far ahead lanes are followed, the largest value of `lane_end`."""


def resample(line: Floats, points: int) -> Floats:
    """`line` `[P, 2]` with `points` points at equal distances along it. A line of no length repeats its point."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0.0, along[-1], points)
    return np.stack([np.interp(at, along, line[:, i]) for i in (0, 1)], axis=1)


def centre_line(left: Floats, right: Floats) -> tuple[Floats, float]:
    """Centre line `[P, 2]` between two bounds, and the mean width between them."""
    longest = max(float(np.hypot(*np.diff(b, axis=0).T).sum()) for b in (left, right))
    points = max(2, int(np.ceil(longest / SPACING)) + 1)
    a, b = resample(left, points), resample(right, points)
    return (a + b) / 2, float(np.hypot(*(a - b).T).mean())


def make_lanes(lanelets: Sequence[Lanelet], origin: tuple[float, float]) -> tuple[Lane, ...]:
    """Lanes of the road map in the local frame of `origin`; references to lanelets that the file does not hold are left out."""
    known = {lanelet.id for lanelet in lanelets}
    lanes = []
    for lanelet in lanelets:
        left, right = lanelet.left_bound - origin, lanelet.right_bound - origin
        centre, width = centre_line(left, right)
        lanes.append(
            Lane(
                id=lanelet.id,
                centre=centre,
                width=width,
                left_boundary=left,
                right_boundary=right,
                successors=tuple(s for s in lanelet.successors if s in known),
                left=lanelet.left if lanelet.left in known else None,
                right=lanelet.right if lanelet.right in known else None,
                speed_limit=lanelet.speed_limit,
            )
        )
    return tuple(lanes)


def inside_polygon(points: Floats, ring: Floats) -> NDArray[np.bool_]:
    """Whether each point `[R, 2]` lies in the polygon `[V, 2]` (even-odd rule)."""
    (x, y), (x0, y0), (x1, y1) = points.T[:, :, None], ring.T, np.roll(ring, -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return (crosses & (x < at)).sum(axis=1) % 2 == 1


@dataclass(frozen=True)
class _Path:
    """A centre line and what follows it: segments with start, unit direction, angle, and distance along; `own` segments are the lane's."""

    start: Floats
    unit: Floats
    angle: Floats
    size: Floats
    along: Floats
    own: int
    total: float


def _segments(centre: Floats) -> Floats:
    """The centre line without repeated points."""
    keep = np.concatenate([[True], np.hypot(*np.diff(centre, axis=0).T) > 1e-6])
    return centre[keep]


def _angle_at_end(lane: Lane) -> float:
    ends = _segments(lane.centre)[-2:]
    return float(np.arctan2(*(ends[-1] - ends[0])[::-1]))


def _follow(lane: Lane, lanes: dict[str, Lane]) -> _Path:
    """The lane and its straightest successors, far enough for `REACH` metres from anywhere on it."""
    lines, visited, ahead, here = [_segments(lane.centre)], {lane.id}, 0.0, lane
    while ahead < REACH:
        nexts = [lanes[s] for s in here.successors if s not in visited]
        if not nexts:
            break
        end = _angle_at_end(here)
        here = min(nexts, key=lambda n: (abs(float(wrap(np.asarray(_angle_at_end(n) - end)))), n.id))
        visited.add(here.id)
        line = _segments(here.centre)
        ahead += float(np.hypot(*np.diff(line, axis=0).T).sum())
        lines.append(line)
    points = _segments(np.concatenate(lines))
    step = np.diff(points, axis=0)
    size = np.hypot(*step.T)
    if not len(size):
        step, size, points = np.asarray([[1.0, 0.0]]), np.asarray([1e-6]), points[:1].repeat(2, axis=0)
    along = np.concatenate([[0.0], np.cumsum(size)])
    own = max(1, min(len(lines[0]) - 1, len(size)))
    return _Path(points[:-1], step / size[:, None], np.arctan2(step[:, 1], step[:, 0]), size, along[:-1], own, float(along[-1]))


@dataclass(frozen=True)
class OnLanes:
    """Where each state `[R]` is: `lane` (index into the lanes, -1 for none) and its features, 0 where no lane is known."""

    lane: NDArray[np.int64]
    lane_offset: Floats
    lane_angle: Floats
    lane_turn_20: Floats
    lane_turn_50: Floats
    lane_end: Floats
    speed_limit: Floats
    lane_known: Floats
    lane_left: Floats
    lane_right: Floats


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
    names = (
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
    values = {name: np.zeros(rows) for name in names}
    by_id = {entry.id: entry for entry in lanes}
    for i, here in enumerate(lanes):
        left, right = here.left_boundary, here.right_boundary
        if left is None or right is None:
            continue  # A lane without bounds has no inside.
        ring = np.concatenate([left, right[::-1]])
        near = np.flatnonzero(((points >= ring.min(axis=0)) & (points <= ring.max(axis=0))).all(axis=1))
        near = near[inside_polygon(points[near], ring)]
        if not len(near):
            continue
        path = _follow(here, by_id)
        along, offset, segment = _project(points[near], path)
        angle = wrap(heading[near] - path.angle[segment])
        better = np.abs(angle) < best[near]
        take = near[better]
        along, offset, angle, segment = (v[better] for v in (along, offset, angle, segment))
        best[take] = np.abs(angle)
        lane[take] = i
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
    return OnLanes(lane=lane, **values)


def _project(points: Floats, path: _Path) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Distance along the path, signed offset (left positive) and nearest own segment of each point."""
    relative = points[:, None, :] - path.start[None, : path.own]
    unit, size = path.unit[: path.own], path.size[: path.own]
    forward = np.clip((relative * unit).sum(axis=2), 0.0, size)
    away = relative - forward[..., None] * unit
    segment = np.argmin((away**2).sum(axis=2), axis=1)
    rows = np.arange(len(points))
    side = unit[segment, 0] * relative[rows, segment, 1] - unit[segment, 1] * relative[rows, segment, 0]
    return path.along[segment] + forward[rows, segment], side, segment
