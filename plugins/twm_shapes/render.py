"""Pictures of the box from above: flat colours, soft edges, painted in the order of the shapes, the steered one last.

A pixel `d` pixel widths inside an edge is covered by `clip(d + 1/2, 0, 1)`: exact for the sides of squares, and for discs as good as
eight bits can show. Only the patch around a shape is touched, which makes a picture cost some microseconds.
Row 0 lies at y = 1, column 0 at x = 0; the ground is tinted by the phase.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from twm_shapes.world import RADII, SQUARES

Pixels = NDArray[np.uint8]

COLOURS = np.array(
    [[240, 240, 240], [60, 200, 90], [220, 60, 50], [230, 140, 40], [190, 70, 190], [150, 90, 60]],
    dtype=np.float32,
)
"""White is steered, green is the target, warm colours are hazards."""
GROUNDS = np.array([[0, 0, 0], [24, 28, 60], [18, 50, 54], [50, 44, 20], [54, 24, 44]], dtype=np.uint8)
"""Colour of the ground in each phase; phase 0 does not occur."""


def render(position: NDArray[np.float64], phase: NDArray[np.int64], size: int) -> Pixels:
    """Paint pictures.

    Args:
        position: `[N,K,2]`, box widths.
        phase: `[N]`, 1 to 4.
        size: Height and width in pixels.

    Returns:
        uint8 `[N,3,size,size]`.
    """
    count, shapes = position.shape[:2]
    picture = np.repeat(GROUNDS[phase], size * size, axis=0).reshape(count, size, size, 3)
    rows = np.arange(count)[:, None, None]
    for k in (*range(1, shapes), 0):
        radius = RADII[k] * size
        width = min(size, 2 * math.ceil(radius) + 3)
        column = position[:, k, 0] * size  # in pixel widths from the left edge
        row = (1 - position[:, k, 1]) * size
        left, top = (np.clip(np.floor(at - width / 2).astype(np.int64), 0, size - width) for at in (column, row))
        xs, ys = (start[:, None] + np.arange(width) for start in (left, top))  # [N,P]
        dx, dy = np.abs(xs + 0.5 - column[:, None]), np.abs(ys + 0.5 - row[:, None])
        if SQUARES[k]:
            cover = np.clip(radius + 0.5 - dy, 0, 1)[:, :, None] * np.clip(radius + 0.5 - dx, 0, 1)[:, None, :]
        else:
            cover = np.clip(radius + 0.5 - np.sqrt(dy[:, :, None] ** 2 + dx[:, None, :] ** 2), 0, 1)
        patch = picture[rows, ys[:, :, None], xs[:, None, :]].astype(np.float32)  # [N,P,P,3]
        mixed = patch + cover[..., None].astype(np.float32) * (COLOURS[k] - patch)
        picture[rows, ys[:, :, None], xs[:, None, :]] = np.rint(mixed).astype(np.uint8)
    return np.ascontiguousarray(picture.transpose(0, 3, 1, 2))
