"""Lines of lanes: resampled polylines, centre lines between bounds, bounds beside centre lines, and the polygon between them.

A lane's centre line is the mean of its two bounds, both resampled at the same fractions of their length (about 2 m apart). A lane that is
known by its centre line and width only gets bounds at half the width on both sides. Shapes: polylines `[P, 2]`, metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twm_core.data.motion import Floats
from twm_core.data.scenario import Lane

SPACING = 2.0
"""Metres between two points of a centre line, about."""

LONGEST_LANE = 20_000.0
"""Metres of the longest lane that is believed: memory for its points is taken in proportion to its length."""

ASSUMED_WIDTH = 3.5
"""Metres, of a lane with neither bounds nor a width."""

_BLOCK = 1 << 20
"""Numbers in one temporary array, about, so that memory stays bounded."""


@dataclass(frozen=True)
class Lanelet:
    """One lane as a file states it, by its bounds.

    Bounds are `[P, 2]` metres in driving direction; `left` and `right` name neighbours of the same direction only.
    """

    id: str
    left_bound: Floats
    right_bound: Floats
    successors: tuple[str, ...] = ()
    left: str | None = None
    right: str | None = None
    speed_limit: float | None = None


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


def make_lanes(lanelets: Sequence[Lanelet], origin: tuple[float, float] = (0.0, 0.0)) -> tuple[Lane, ...]:
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


def boundaries(lane: Lane) -> tuple[Floats, Floats]:
    """Left and right boundary of a lane `[P, 2]`, made from its centre line and width where it has none."""
    if lane.left_boundary is not None and lane.right_boundary is not None:
        return lane.left_boundary, lane.right_boundary
    centre = distinct_points(lane.centre)
    tangent = np.gradient(centre, axis=0) if len(centre) > 1 else np.asarray([[1.0, 0.0]])
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    width = lane.width if lane.width > 0 else ASSUMED_WIDTH
    aside = 0.5 * width * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    left = centre + aside if lane.left_boundary is None else lane.left_boundary
    right = centre - aside if lane.right_boundary is None else lane.right_boundary
    return left, right


def distinct_points(line: Floats) -> Floats:
    """The line without points that repeat the one before."""
    keep = np.concatenate([[True], np.hypot(*np.diff(line, axis=0).T) > 1e-6])
    return line[keep]


def line_length(line: Floats) -> float:
    """Metres along a line `[P, 2]`."""
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def inside_polygon(points: Floats, ring: Floats) -> NDArray[np.bool_]:
    """Whether each point `[R, 2]` lies in the polygon `[V, 2]` (even-odd rule)."""
    (x0, y0), (x1, y1) = ring.T, np.roll(ring, -1, axis=0).T
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (x1 - x0) / (y1 - y0)
    found = np.zeros(len(points), dtype=bool)
    size = max(1, _BLOCK // len(ring))
    for begin in range(0, len(points), size):
        x, y = points[begin : begin + size].T[:, :, None]
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(invalid="ignore", over="ignore"):
            left_of = x < x0 + (y - y0) * slope
        found[begin : begin + size] = (crosses & left_of).sum(axis=1) % 2 == 1
    return found
