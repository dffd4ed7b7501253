"""How far positions are off the drivable part of a map raster, differentiably.

The raster becomes a field of distances to the nearest drivable pixel, which is sampled bilinearly, so that the gradient of a position leads
back to the road however far it has strayed. Distances are counted along rows and columns (city block: between 1 and 1.42 times the straight
line), because that is separable: with f the distance within a row,

    D[r, c] = min over r' of f[r', c] + |r - r'|

and a minimum of that shape is a running minimum from each side (Felzenszwalb & Huttenlocher, "Distance transforms of sampled functions",
2012). Four passes, without a loop over pixels.

Pixels: `map.pose` gives the centre of the raster (metres, in the frame of agents.state), the heading of its columns' direction and metres
per pixel; row 0 has the largest y of the raster's own frame.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def distance_field(drivable: Tensor) -> Tensor:
    """City-block distance of every pixel to the nearest drivable one, in pixels, float32 `[B,H,W]` from bool `[B,H,W]`.

    A raster without a drivable pixel has distance 0 everywhere: nothing is known of it.
    """
    field = torch.where(drivable, 0.0, float(sum(drivable.shape[1:])))
    for axis in (2, 1):
        field = torch.minimum(_from_start(field, axis), _from_start(field.flip(axis), axis).flip(axis))
    return torch.where(drivable.any(dim=(1, 2), keepdim=True), field, 0)


def _from_start(field: Tensor, axis: int) -> Tensor:
    """min over i' <= i of field[i'] + i - i', along an axis."""
    shape = [1] * field.dim()
    shape[axis] = -1
    place = torch.arange(field.shape[axis], device=field.device, dtype=field.dtype).view(shape)
    return (field - place).cummin(dim=axis).values + place


def sample(field: Tensor, pose: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """The field at positions, in metres, and which positions lie on the raster.

    Args:
        field: Distances in pixels, `[B,H,W]`.
        pose: `map.pose`, `[B,4]`.
        position: x, y in metres, finite, `[B,...,2]`.

    Returns:
        Distances `[B,...]`, with gradient with respect to the positions; bool `[B,...]`.
    """
    height, width = field.shape[1:]
    rows = position.reshape(len(position), -1, 2)
    x, y, heading, size = pose[:, :, None].unbind(1)  # B 1
    dx, dy = rows[..., 0] - x, rows[..., 1] - y
    along = (dx * heading.cos() + dy * heading.sin()) / size
    up = (dy * heading.cos() - dx * heading.sin()) / size
    grid = torch.stack([along * (2 / width), -up * (2 / height)], dim=-1)  # -1 and 1 are the outer edges
    inside = (grid.abs() <= 1).all(dim=-1)
    found = F.grid_sample(field[:, None], grid[:, :, None], mode="bilinear", padding_mode="border", align_corners=False)
    shape = position.shape[:-1]
    return (found[:, 0, :, 0] * size).reshape(shape), inside.reshape(shape)
