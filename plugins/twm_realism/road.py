"""Signed distance to the edge of the road, from the lanes of a map: negative on the road, positive beside it.

The road is the union of the lanes; its edges are those pieces of the lanes' bounds beyond which no lane lies. A gap of up to `GAP` metres
between two lanes belongs to the road. Where the map ends the road does not: a lane after which nothing comes, and beside whose end no other
lane goes on, is continued straight for `BEYOND` metres, so that who drives off the map has not left the road; likewise before its start.

Distances are computed at the nodes of a grid of `NODE` metres and interpolated between them (bilinear), which is exact beside a straight
edge and at most half a metre off where two edges are equally near. Only tiles of the grid in which something is asked for are ever
computed, and kept: a map is the same for many windows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twm_core.data.roads.lane_lines import boundaries, distinct_points, inside_polygon
from twm_core.data.scenario import Lane, RoadMap

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

INSIDE, OUTSIDE = -20.0, 40.0
"""Distances are cut off here: the range of the challenge's histogram."""

NODE = 1.0
GAP = 0.5
BEYOND = 200.0

_TILE = 32
_PIECE = 4.0
_AT_ONCE = 1 << 20


class Road:
    """The edges of one road map, and the tiles of its distances."""

    def __init__(self, road: RoadMap) -> None:
        bounds = _continued(road.lanes)
        self.rings = [np.concatenate([left, right[::-1]]) for left, right in bounds]
        self.boxes = np.array([[*r.min(axis=0), *r.max(axis=0)] for r in self.rings]).reshape(-1, 4)
        # Outwards is left of a left bound and right of a right one.
        sides = [_pieces(line, side) for pair in bounds for line, side in zip(pair, (1.0, -1.0), strict=True)]
        start, end, outward = (np.concatenate([s[i] for s in sides]).reshape(-1, 2) for i in range(3))
        middle = (start + end) / 2
        free = ~self._on_lane(middle + (GAP + 0.01) * outward)
        self.lines = (start, end)
        self.edges = (start[free], end[free])
        self._tiles: dict[tuple[int, int], Floats] = {}

    def signed_distance(self, points: Floats) -> Floats:
        """Metres `[R]` from points `[R, 2]` to the edge of the road, within `INSIDE` and `OUTSIDE`."""
        node = np.floor(points / NODE).astype(np.int64)
        tile = node // _TILE
        keys, which = np.unique(tile, axis=0, return_inverse=True)
        grids = np.stack([self._tile(int(i), int(j)) for i, j in keys]) if len(keys) else np.zeros((0, _TILE + 1, _TILE + 1))
        which = which.reshape(-1)
        i, j = (node - tile * _TILE).T
        u, v = (points / NODE - node).T
        return (
            grids[which, i, j] * (1 - u) * (1 - v)
            + grids[which, i + 1, j] * u * (1 - v)
            + grids[which, i, j + 1] * (1 - u) * v
            + grids[which, i + 1, j + 1] * u * v
        )

    def exact(self, points: Floats) -> Floats:
        """The same without a grid, for few points."""
        nearest = _distance(points, *self.edges)
        inside = self._on_lane(points)
        # In a narrow gap between lanes: a bound is near, but no edge of the road.
        between = np.flatnonzero(~inside & (nearest > GAP))
        inside[between] = _distance(points[between], *self.lines, reach=2 * GAP) <= GAP
        return np.clip(np.where(inside, -nearest, nearest), INSIDE, OUTSIDE)

    def _tile(self, i: int, j: int) -> Floats:
        found = self._tiles.get((i, j))
        if found is None:
            x, y = ((k * _TILE + np.arange(_TILE + 1)) * NODE for k in (i, j))
            nodes = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)
            found = self._tiles[i, j] = self.exact(nodes).reshape(_TILE + 1, _TILE + 1)
        return found

    def _on_lane(self, points: Floats) -> NDArray[np.bool_]:
        inside = np.zeros(len(points), dtype=bool)
        for ring, (x0, y0, x1, y1) in zip(self.rings, self.boxes, strict=True):
            near = (points[:, 0] >= x0) & (points[:, 0] <= x1) & (points[:, 1] >= y0) & (points[:, 1] <= y1) & ~inside
            inside[near] = inside_polygon(points[near], ring)
        return inside


def _pieces(line: Floats, side: float) -> tuple[Floats, Floats, Floats]:
    """Starts, ends and outward normals `[E, 2]` of the pieces of a bound, each at most `_PIECE` metres long."""
    line = distinct_points(line)
    step = np.diff(line, axis=0)
    size = np.hypot(*step.T)
    parts = np.maximum(np.ceil(size / _PIECE), 1).astype(np.int64)
    segment = np.repeat(np.arange(len(step)), parts)
    number = np.arange(len(segment)) - np.repeat(np.cumsum(parts) - parts, parts)
    share = number / parts[segment]
    start = line[segment] + share[:, None] * step[segment]
    end = start + step[segment] / parts[segment, None]
    unit = step[segment] / size[segment, None]
    return start, end, side * np.stack([-unit[:, 1], unit[:, 0]], axis=1)


def _distance(points: Floats, start: Floats, end: Floats, reach: float = OUTSIDE) -> Floats:
    """Metres `[R]` from points to the nearest of some segments, `reach` at most."""
    found = np.full(len(points), reach)
    if not len(points):
        return found
    low, high = points.min(axis=0) - reach, points.max(axis=0) + reach
    near = ((np.maximum(start, end) >= low) & (np.minimum(start, end) <= high)).all(axis=1)
    start, step = start[near], (end - start)[near]
    square = np.maximum((step * step).sum(axis=1), 1e-12)
    block = max(1, _AT_ONCE // max(1, len(start)))
    for i in range(0, len(points) if len(start) else 0, block):
        x, y = (points[i : i + block, None, k] - start[:, k] for k in (0, 1))
        along = np.clip((x * step[:, 0] + y * step[:, 1]) / square, 0.0, 1.0)
        x -= along * step[:, 0]
        y -= along * step[:, 1]
        found[i : i + block] = np.minimum(np.sqrt((x * x + y * y).min(axis=1)), reach)
    return found


def _continued(lanes: tuple[Lane, ...]) -> list[tuple[Floats, Floats]]:
    """Left and right bound of each lane, continued where the map ends."""
    bounds = [tuple(distinct_points(b) for b in boundaries(lane)) for lane in lanes]
    rings = [np.concatenate([left, right[::-1]]) for left, right in bounds]
    known = {lane.id for lane in lanes}
    entered = {s for lane in lanes for s in lane.successors}
    made: list[tuple[Floats, Floats]] = []
    for number, (lane, (left, right)) in enumerate(zip(lanes, bounds, strict=True)):
        others = rings[:number] + rings[number + 1 :]
        if not any(s in known for s in lane.successors) and (step := _open_end(left, right, others)) is not None:
            left, right = (np.concatenate([b, b[-1:] + BEYOND * step]) for b in (left, right))
        if lane.id not in entered and (step := _open_end(left[::-1], right[::-1], others)) is not None:
            left, right = (np.concatenate([b[:1] + BEYOND * step, b]) for b in (left, right))
        made.append((left, right))
    return made


def _open_end(left: Floats, right: Floats, others: list[Floats]) -> Floats | None:
    """Direction in which a lane would go on at the end of its bounds; None where another lane lies there or goes on beside it."""
    if min(len(left), len(right)) < 2:
        return None
    step = (left[-1] - left[-2]) + (right[-1] - right[-2])
    length = np.hypot(*step)
    if length < 1e-9:
        return None
    step = step / length
    across = left[-1] - right[-1]
    probes = (left[-1] + right[-1]) / 2 + 3.0 * step + np.array([-1.0, 0.0, 1.0])[:, None] * across
    return None if any(inside_polygon(probes, ring).any() for ring in others) else step
