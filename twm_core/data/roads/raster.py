"""Drawing a road map into a raster, with NumPy alone: polygons by exact spans, lines by distance, both anti-aliased.

A raster `[C,H,W]` has a pose (x, y, heading, metres per pixel): its centre in the map's frame, the direction in which its columns run,
and its scale. With u along the columns and v against the rows (row 0 lies at the largest v), the centre of pixel (row i, column j) is

    u = (j + 1/2 - W/2) mpp      v = (H/2 - i - 1/2) mpp      (x, y) + R(heading) (u, v)

Channels are those of `twm_core.data.schema.RASTER_CHANNELS`: the area of all lanes, the boundaries of lanes together with the edges of
the road, and the centre lines of lanes. Other lines of a map (crosswalks, stop lines, obstacles) are not drawn: a channel of their own
would change the shape of what every trained encoder reads. Values run from 0 to 255 times the share of the pixel that is covered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twm_core.data.roads.lane_lines import boundaries
from twm_core.data.scenario import RoadLine, RoadMap
from twm_core.data.schema import RASTER_CHANNELS

Floats = NDArray[np.float64]

_SUBROWS = 4
"""Scan lines in each row of pixels: areas are exact along a row and sampled this finely across rows."""

_SPACING = 0.25
"""Distance in pixels between the points that stand for a line; its distance to a pixel is off by less than 0.02 pixels."""

_BLOCK = 4096
"""Points of lines that are drawn at once, so that temporary arrays stay in the cache."""


class Pose(NamedTuple):
    """Where a raster lies: centre (metres), heading of its columns (radians), metres per pixel."""

    x: float
    y: float
    heading: float
    metres_per_pixel: float


def to_pixels(points: Floats, pose: Pose, shape: tuple[int, int]) -> Floats:
    """Positions `[...,2]` in the map's frame as (column, row) in pixels, where pixel (i, j) covers columns j to j + 1, rows i to i + 1."""
    cos, sin = np.cos(pose.heading), np.sin(pose.heading)
    dx, dy = points[..., 0] - pose.x, points[..., 1] - pose.y
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    height, width = shape
    return np.stack([u / pose.metres_per_pixel + width / 2, height / 2 - v / pose.metres_per_pixel], axis=-1)


def pixel_centres(pose: Pose, shape: tuple[int, int]) -> Floats:
    """The position of every pixel's centre in the map's frame, `[H,W,2]`."""
    height, width = shape
    u = (np.arange(width) + 0.5 - width / 2)[None, :] * pose.metres_per_pixel
    v = (height / 2 - np.arange(height) - 0.5)[:, None] * pose.metres_per_pixel
    cos, sin = np.cos(pose.heading), np.sin(pose.heading)
    return np.stack([pose.x + u * cos - v * sin, pose.y + u * sin + v * cos], axis=-1)


def fill_polygon(target: Floats, ring: Floats) -> None:
    """Add to `target` `[H,W]` the share of each pixel that lies in a polygon (even-odd rule).

    Args:
        target: Changed in place.
        ring: Corners `[V,2]` as (column, row) in pixels; the last is joined to the first.
    """
    height, width = target.shape
    if ring[:, 0].min() >= width or ring[:, 0].max() <= 0:
        return
    top, bottom = max(0, int(np.floor(ring[:, 1].min()))), min(height, int(np.ceil(ring[:, 1].max())))
    if top >= bottom:
        return
    scan = top + (np.arange((bottom - top) * _SUBROWS) + 0.5) / _SUBROWS
    (c0, r0), (c1, r1) = ring.T, np.roll(ring, -1, axis=0).T
    edge, line = np.nonzero((r0[:, None] <= scan) != (r1[:, None] <= scan))
    column = c0[edge] + (scan[line] - r0[edge]) / (r1[edge] - r0[edge]) * (c1[edge] - c0[edge])
    order = np.lexsort((column, line))
    # A closed ring crosses each scan line an even number of times, so the sorted crossings enter and leave in turn.
    sign = np.where(np.arange(len(order)) % 2 == 0, -1.0, 1.0) / _SUBROWS
    row, column = line[order] // _SUBROWS, np.clip(column[order], 0, width)
    # The span up to `column` covers the pixels before it wholly and its own in part; as differences along the row:
    whole = np.floor(column).astype(np.int64)
    part = column - whole
    at = row * (width + 2) + whole
    size = (bottom - top) * (width + 2)
    change = np.bincount(at, sign * (part - 1), size) + np.bincount(at + 1, -sign * part, size)
    target[top:bottom] += np.cumsum(change.reshape(bottom - top, width + 2), axis=1)[:, :width]


def draw_line(target: Floats, line: Floats, width: float) -> None:
    """Raise `target` `[H,W]` to the coverage of a line: 1 up to its edge, falling to 0 over one pixel.

    Args:
        target: Changed in place.
        line: Points `[P,2]` as (column, row) in pixels.
        width: Of the line, pixels.
    """
    draw_lines(target, [line], width)


def draw_lines(target: Floats, lines: Sequence[Floats], width: float) -> None:
    """`draw_line` for several lines at once, which is faster."""
    height, columns = target.shape
    reach = int(np.ceil(width / 2 + 0.5))
    found = [_points_along(line, (columns, height), reach) for line in lines]
    if not found:
        return
    offset = np.arange(-reach, reach + 1)
    across, down = (o.reshape(-1) for o in np.meshgrid(offset, offset))
    # Flat places: NumPy is several times faster with one index than with two.
    flat = target.reshape(-1).copy()
    every = np.concatenate(found)
    for begin in range(0, len(every), _BLOCK):
        points = every[begin : begin + _BLOCK]
        whole = np.floor(points).astype(np.int64)
        column, row = whole[:, :1] + across, whole[:, 1:] + down
        part = points - whole
        distance = np.hypot(across + 0.5 - part[:, :1], down + 0.5 - part[:, 1:])
        inside = (distance < width / 2 + 0.5) & (row >= 0) & (row < height) & (column >= 0) & (column < columns)
        np.maximum.at(flat, (row * columns + column)[inside], np.minimum(width / 2 + 0.5 - distance[inside], 1.0))
    target[...] = flat.reshape(target.shape)


def _points_along(line: Floats, size: tuple[int, int], reach: int) -> Floats:
    """Points `[S,2]` on the line, `_SPACING` apart, that are at most `reach` pixels outside of a raster of so many columns and rows."""
    if len(line) < 2 or (line.max(axis=0) < -reach).any() or (line.min(axis=0) > np.asarray(size) + reach).any():
        return np.zeros((0, 2))
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0.0, along[-1], max(2, int(np.ceil(along[-1] / _SPACING)) + 1))
    points = np.stack([np.interp(at, along, line[:, i]) for i in (0, 1)], axis=1)
    return points[((points > -reach) & (points < np.asarray(size) + reach)).all(axis=1)]


def draw_road(road: RoadMap, pose: Pose, shape: tuple[int, int], *, line_width: float = 1.0) -> NDArray[np.uint8]:
    """The map seen in a raster of this pose, uint8 `[C,H,W]`.

    Args:
        road: The lanes; one without boundaries gets those at half its width beside its centre line.
        pose: Where the raster lies.
        shape: `(H, W)`.
        line_width: Of boundaries and centre lines, pixels: they are marks, not paint, so they stay visible at any scale.
    """
    layers = {name: np.zeros(shape) for name in RASTER_CHANNELS}
    lines: dict[str, list[Floats]] = {"boundary": [], "centre": []}
    for lane in road.lanes:
        left, right = (to_pixels(b, pose, shape) for b in boundaries(lane))
        fill_polygon(layers["drivable"], np.concatenate([left, right[::-1]]))
        lines["boundary"] += [left, right]
        lines["centre"].append(to_pixels(lane.centre, pose, shape))
    lines["boundary"] += [to_pixels(line.points, pose, shape) for line in edges(road)]
    for name, found in lines.items():
        draw_lines(layers[name], found, line_width)
    # Lanes beside one another share the pixels along their border, so areas add up; where lanes overlap the sum is cut.
    return np.stack([np.rint(255 * np.clip(layers[name], 0.0, 1.0)).astype(np.uint8) for name in RASTER_CHANNELS])


def edges(road: RoadMap) -> list[RoadLine]:
    """The lines of a map that a raster shows as boundaries: edges of the road."""
    return [line for line in road.lines if line.kind == "edge" and len(line.points)]
