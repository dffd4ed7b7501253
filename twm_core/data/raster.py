"""Drawing a road map into a raster, with NumPy alone: polygons by exact spans, lines by distance, both anti-aliased.

A raster `[C,H,W]` has a pose (x, y, heading, metres per pixel): its centre in the map's frame, the direction in which its columns run,
and its scale. With u along the columns and v against the rows (row 0 lies at the largest v), the centre of pixel (row i, column j) is

    u = (j + 1/2 - W/2) mpp      v = (H/2 - i - 1/2) mpp      (x, y) + R(heading) (u, v)

Channels are those of `twm_core.data.schema.RASTER_CHANNELS`: the area of all lanes, the lanes' boundaries, and their centre lines.
Values run from 0 to 255 times the share of the pixel that is covered.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import Lane, RoadMap
from twm_core.data.schema import RASTER_CHANNELS

Floats = NDArray[np.float64]

_SUBROWS = 4
"""Scan lines in each row of pixels: areas are exact along a row and sampled this finely across rows."""

_SPACING = 0.25
"""Distance in pixels between the points that stand for a line; its distance to a pixel is off by less than 0.02 pixels."""


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
    height, columns = target.shape
    length = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(length)])
    at = np.linspace(0.0, along[-1], max(2, int(np.ceil(along[-1] / _SPACING)) + 1))
    points = np.stack([np.interp(at, along, line[:, i]) for i in (0, 1)], axis=1)
    reach = int(np.ceil(width / 2 + 0.5))
    near = ((points > -reach) & (points < np.array([columns, height]) + reach)).all(axis=1)
    points = points[near]
    offset = np.arange(-reach, reach + 1)
    column = np.floor(points[:, 0]).astype(np.int64)[:, None, None] + offset[None, None, :]
    row = np.floor(points[:, 1]).astype(np.int64)[:, None, None] + offset[None, :, None]
    distance = np.hypot(column + 0.5 - points[:, 0, None, None], row + 0.5 - points[:, 1, None, None])
    cover = np.clip(width / 2 + 0.5 - distance, 0.0, 1.0)
    row, column = np.broadcast_arrays(row, column)
    inside = (cover > 0) & (row >= 0) & (row < height) & (column >= 0) & (column < columns)
    np.maximum.at(target, (row[inside], column[inside]), cover[inside])


def draw_road(road: RoadMap, pose: Pose, shape: tuple[int, int], *, line_width: float = 1.0) -> NDArray[np.uint8]:
    """The map seen in a raster of this pose, uint8 `[C,H,W]`.

    Args:
        road: The lanes; one without boundaries gets those at half its width beside its centre line.
        pose: Where the raster lies.
        shape: `(H, W)`.
        line_width: Of boundaries and centre lines, pixels: they are marks, not paint, so they stay visible at any scale.
    """
    layers = {name: np.zeros(shape) for name in RASTER_CHANNELS}
    for lane in road.lanes:
        left, right = (to_pixels(b, pose, shape) for b in boundaries(lane))
        fill_polygon(layers["drivable"], np.concatenate([left, right[::-1]]))
        draw_line(layers["boundary"], left, line_width)
        draw_line(layers["boundary"], right, line_width)
        draw_line(layers["centre"], to_pixels(lane.centre, pose, shape), line_width)
    # Lanes beside one another share the pixels along their border, so areas add up; where lanes overlap the sum is cut.
    return np.stack([np.rint(255 * np.clip(layers[name], 0.0, 1.0)).astype(np.uint8) for name in RASTER_CHANNELS])


def boundaries(lane: Lane) -> tuple[Floats, Floats]:
    """Left and right boundary of a lane `[P,2]`, made from its centre line and width where it has none."""
    tangent = np.gradient(lane.centre, axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    aside = 0.5 * lane.width * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    left = lane.centre + aside if lane.left_boundary is None else lane.left_boundary
    right = lane.centre - aside if lane.right_boundary is None else lane.right_boundary
    return left, right
