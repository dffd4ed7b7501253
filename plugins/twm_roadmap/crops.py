"""Crops of a raster, or of a feature map over it, around every agent at every step, by bilinear interpolation.

A crop is a square grid of points in the agent's frame (origin at its position, x along its heading). An agent at p with heading h, seen
on a raster with pose (q, g, m) of W pixels: the point (a, b) of its frame lies at

    (u, v) = R(-g) (p - q) + R(h - g) (a, b)       relative coordinates  2u / (m W), -2v / (m H)  in [-1, 1]

which address any feature map that lies exactly over the raster. Row 0 of a crop has the largest b. Beyond the raster everything reads 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from twm_core.specs import KeySpec


def grid_points(points: int, metres: float, ahead: float) -> Float[Tensor, "P P 2"]:
    """The points (a, b) of a crop: centres of `points` by `points` cells of a square of `metres`, its middle `ahead` on the x axis."""
    cell = (torch.arange(points) + 0.5) * (metres / points) - metres / 2
    b, a = torch.meshgrid(-cell, cell + ahead, indexing="ij")
    return torch.stack([a, b], dim=-1)


def sample_around(
    raster: Float[Tensor, "B C h w"],
    size: tuple[int, int],
    pose: Float[Tensor, "B 4"],
    agents: Float[Tensor, "B T A F"],
    grid: Float[Tensor, "P P 2"],
    *,
    pose_spec: KeySpec,
    state_spec: KeySpec,
    turned: bool,
) -> Float[Tensor, "B T A C P P"]:
    """What every agent sees of a raster.

    Args:
        raster: The raster, or features that lie over it.
        size: Height and width of the raster itself, in pixels of its pose.
        pose: `map.pose`.
        agents: `agents.state`; must be finite.
        grid: Points in the agents' frames, metres.
        pose_spec: Names the features of `pose`.
        state_spec: Names the features of `agents`.
        turned: Whether the grid turns with the agent; else it is aligned with the raster.
    """
    b, t, a = agents.shape[:3]
    at = {name: pose[:, pose_spec.index(name), None, None] for name in ("x", "y", "heading", "metres_per_pixel")}
    x, y, heading = (agents[..., state_spec.index(name)] for name in ("x", "y", "heading"))
    cos, sin = at["heading"].cos(), at["heading"].sin()
    dx, dy = x - at["x"], y - at["y"]
    u, v = dx * cos + dy * sin, dy * cos - dx * sin  # B T A
    turn = heading - at["heading"] if turned else torch.zeros_like(heading)
    cos, sin = turn.cos()[..., None, None], turn.sin()[..., None, None]
    u = u[..., None, None] + grid[..., 0] * cos - grid[..., 1] * sin  # B T A P P
    v = v[..., None, None] + grid[..., 0] * sin + grid[..., 1] * cos
    scale = 2 / at["metres_per_pixel"][..., None, None]
    relative = torch.stack([u * scale / size[1], -v * scale / size[0]], dim=-1)
    points = len(grid)
    # Agents and steps become rows of one tall grid, so that the raster is not copied for each of them.
    found = F.grid_sample(raster, relative.reshape(b, t * a * points, points, 2), align_corners=False)
    return found.view(b, -1, t, a, points, points).permute(0, 2, 3, 1, 4, 5)
