"""Signed distance between oriented boxes, and of each agent to the nearest other one.

Two boxes are apart by the largest gap between their shadows on the four directions of their sides (separating axes). Where it is
negative they overlap, and its size is how deep (the shortest shift that parts them is along one of these directions). Where it is positive,
the distance is that of a corner of one to the other box, the least of eight. Corners are rounded as in the challenge: a box shrinks on all
sides by `r = rounding * min(length, width) / 2`, and distances by the two `r` (a rounded rectangle is what lies within `r` of the shrunk
one).

Shapes: `N` situations, `M` agents of interest, `A` agents, poses `[..., 3]` are x, y, heading.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

NOBODY = 1e4
"""Distance in metres where there is nobody else."""

_CANDIDATES = 4
"""Others whose distance is computed first; more only where a farther centre could still be nearer."""

_AT_ONCE = 1 << 18
"""Pairs that are looked at together, about, so that memory stays bounded."""


def signed_distance(
    pose: Float[Tensor, "*P 3"],
    size: Float[Tensor, "*P 2"],
    other: Float[Tensor, "*P 3"],
    other_size: Float[Tensor, "*P 2"],
    rounding: float,
) -> Float[Tensor, "*P"]:
    """Metres between two boxes, negative where they overlap."""
    radius, other_radius = (rounding * s.amin(dim=-1) / 2 for s in (size, other_size))
    half, other_half = size / 2 - radius[..., None], other_size / 2 - other_radius[..., None]
    away = other[..., :2] - pose[..., :2]
    turn = other[..., 2] - pose[..., 2]
    mine, theirs = _turned(away, -pose[..., 2]), _turned(-away, -other[..., 2])
    cos, sin = turn.cos(), turn.sin()
    shadow = torch.stack([cos.abs(), sin.abs()], dim=-1)
    gaps = torch.cat(
        [
            mine.abs() - half - torch.stack([(shadow * other_half).sum(-1), (shadow.flip(-1) * other_half).sum(-1)], dim=-1),
            theirs.abs() - other_half - torch.stack([(shadow * half).sum(-1), (shadow.flip(-1) * half).sum(-1)], dim=-1),
        ],
        dim=-1,
    ).amax(dim=-1)
    apart = torch.minimum(_nearest_corner(mine, turn, other_half, half), _nearest_corner(theirs, -turn, half, other_half))
    return torch.where(gaps > 0, apart, gaps) - radius - other_radius


def _turned(vector: Tensor, angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    x, y = vector.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)


def _nearest_corner(centre: Tensor, turn: Tensor, half: Tensor, box: Tensor) -> Tensor:
    """Least distance of the corners of a box at `centre`, turned by `turn`, to a box around the origin."""
    signs = half.new_tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    corners = centre[..., None, :] + _turned(signs * half[..., None, :], turn[..., None])
    return (corners.abs() - box[..., None, :]).clamp_min(0).norm(dim=-1).amin(dim=-1)


def nearest_distance(
    pose: Float[Tensor, "N A 3"], size: Float[Tensor, "A 2"], here: Bool[Tensor, "N A"], mine: Tensor, rounding: float
) -> Float[Tensor, "N M"]:
    """Signed distance of the agents `mine` (indices `[M]`) to the nearest other agent that is there, `NOBODY` where there is none.

    Exact: who is left out of the first candidates has a lower bound (distance of centres minus both half diagonals) that is not below the
    distance found, or everybody is looked at.
    """
    if pose.shape[1] < 2:
        return pose.new_full((len(pose), len(mine)), NOBODY)
    block = max(1, _AT_ONCE // max(1, len(mine) * pose.shape[1]))
    return torch.cat([_nearest(pose[i : i + block], size, here[i : i + block], mine, rounding) for i in range(0, len(pose), block)])


def _nearest(pose: Tensor, size: Tensor, here: Tensor, mine: Tensor, rounding: float) -> Tensor:
    reach = size.norm(dim=-1) / 2
    centres = (pose[:, mine, None, :2] - pose[:, None, :, :2]).norm(dim=-1)  # [N, M, A]
    bound = centres - reach[mine, None] - reach
    itself = torch.arange(pose.shape[1], device=pose.device) == mine[:, None]
    bound = bound.masked_fill(itself | ~here[:, None], torch.inf)
    first = min(_CANDIDATES, bound.shape[-1] - 1)
    low, who = bound.topk(first + 1, dim=-1, largest=False)
    found = _distance_to(pose, size, mine, who[..., :first], rounding).masked_fill(low[..., :first].isinf(), NOBODY).amin(dim=-1)
    situation, agent = (low[..., first] < found).nonzero(as_tuple=True)
    if len(situation):
        every = torch.arange(pose.shape[1], device=pose.device).expand(len(situation), 1, -1)
        ego = pose[situation, mine[agent]][:, None]
        away = signed_distance(
            ego.expand(-1, pose.shape[1], -1),
            size[mine[agent]][:, None].expand(-1, pose.shape[1], -1),
            pose[situation],
            size[every[:, 0]],
            rounding,
        )
        found[situation, agent] = away.masked_fill(bound[situation, agent].isinf(), NOBODY).amin(dim=-1)
    return found


def _distance_to(pose: Tensor, size: Tensor, mine: Tensor, who: Tensor, rounding: float) -> Tensor:
    """Distance of each agent of interest to each of its candidates `[N, M, C]`."""
    number = torch.arange(len(pose), device=pose.device)[:, None, None]
    other = pose[number, who]
    ego, ego_size = pose[:, mine, None].expand_as(other), size[mine][None, :, None].expand(*who.shape, 2)
    return signed_distance(ego, ego_size, other, size[who], rounding)
