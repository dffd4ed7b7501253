"""Futures of agents that were made one by one, slowed down where they would run into one another.

Everybody's path is kept; whoever would run into another one slows down on it. In small steps: all advance along their paths; of two boxes
that would overlap the one that has the other in front of it advances less, down to standing still, and so on until nobody overlaps or
nobody can advance less. An agent that has been slowed stays behind its own plan from then on. Boxes that overlap when they are last seen
(data has such) are left alone with respect to one another.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

ADVANCES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
"""Shares of a planned step that an agent may advance."""

_ROUNDS = 12
"""Times that agents may give way within a step: enough for queues to pass a standstill on."""


def avoid_collisions(
    states: Float[Tensor, "R H A 5"],
    now: Float[Tensor, "R A 3"],
    size: Float[Tensor, "R A 2"],
    here: Bool[Tensor, "R A"],
    dt: Float[Tensor, " R"],
    *,
    margin: float = 0.2,
) -> Float[Tensor, "R H A 5"]:
    """Futures in which nobody runs into anybody, as far as slowing down can help.

    Args:
        states: x, y, heading, vx, vy of `R` futures of scenes.
        now: x, y, heading at the last observed step.
        size: Length and width, metres; agents without a size are in nobody's way.
        here: Who is there.
        dt: Seconds of a step.
        margin: Metres by which boxes are lengthened on either end.
    """
    if states.is_meta:  # who meets whom is in the values; the shapes are known
        return states
    futures, steps, agents = states.shape[:3]
    plan = torch.cat([now[:, None], states[..., :3]], dim=1)  # R H+1 A 3
    half = size / 2 + size.new_tensor([margin, 0.0])
    row, one, two = _pairs(plan, half, here)
    shares, last = states.new_tensor(ADVANCES), len(ADVANCES) - 1
    done = states.new_zeros(futures, agents)  # how far along its plan everybody is, in steps
    pose = now
    found: list[Tensor] = []
    for step in range(steps):
        level = torch.zeros(futures, agents, dtype=torch.long, device=states.device)
        for _ in range(_ROUNDS):
            place = _at(plan, done + shares[level])
            a, b = place[row, one], place[row, two]
            hit = overlap(a, half[row, one], b, half[row, two])
            still_a, still_b = level[row, one] == last, level[row, two] == last
            # Who has the other more squarely in front of it yields; where it stands already, the other one does.
            front_a, front_b = _squarely(a, b), _squarely(b, a)
            a_yields = hit & ~still_a & ((front_a >= front_b) | still_b)
            b_yields = hit & ~still_b & ((front_b >= front_a) | still_a)
            if not bool((a_yields | b_yields).any()):
                break
            slower = torch.zeros_like(level)
            for who, yields in ((one, a_yields), (two, b_yields)):
                slower[row[yields], who[yields]] = 1
            level = level + slower
        done = done + shares[level]
        before, pose = pose, _at(plan, done)
        slowed = torch.cat([pose, (pose[..., :2] - before[..., :2]) / dt[:, None, None]], dim=-1)
        found.append(torch.where((done == step + 1)[..., None], states[:, step], slowed))
    return torch.stack(found, dim=1)


def _at(plan: Tensor, progress: Tensor) -> Tensor:
    """Poses `[R,A,3]` at `progress` steps along the plans `[R,H+1,A,3]`; headings are those of the step that is being made."""
    low = progress.floor().long().clamp(0, plan.shape[1] - 2)
    share = (progress - low)[..., None]
    index = low[:, None, :, None].expand(-1, 1, -1, 3)
    a, b = plan.gather(1, index)[:, 0], plan.gather(1, index + 1)[:, 0]
    return torch.cat([a[..., :2] + share * (b[..., :2] - a[..., :2]), torch.where(share > 0, b[..., 2:], a[..., 2:])], dim=-1)


def _pairs(plan: Tensor, half: Tensor, here: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row and both agents of the pairs that may meet: never farther apart than their sizes and both ways together, and apart now."""
    row, one, two = torch.triu(here[:, :, None] & here[:, None], diagonal=1).nonzero(as_tuple=True)
    sized = (half[row, one, 1] > 0) & (half[row, two, 1] > 0)
    row, one, two = row[sized], one[sized], two[sized]
    reach = half.norm(dim=-1) + (plan[:, 1:, :, :2] - plan[:, :1, :, :2]).norm(dim=-1).amax(dim=1)  # R A
    a, b = plan[row, 0, one], plan[row, 0, two]
    meet = (a[:, :2] - b[:, :2]).norm(dim=-1) <= reach[row, one] + reach[row, two]
    meet &= ~overlap(a, half[row, one], b, half[row, two])
    return row[meet], one[meet], two[meet]


def overlap(
    a: Float[Tensor, "P 3"], half_a: Float[Tensor, "P 2"], b: Float[Tensor, "P 3"], half_b: Float[Tensor, "P 2"]
) -> Bool[Tensor, " P"]:
    """Whether rectangles overlap: no direction of a side separates them. Poses x, y, heading; halves of length and width."""
    away, turn = b[:, :2] - a[:, :2], b[:, 2] - a[:, 2]
    shadow = torch.stack([turn.cos().abs(), turn.sin().abs()], dim=-1)
    apart = torch.zeros(len(a), dtype=torch.bool, device=a.device)
    for vector, heading, mine, theirs in ((away, a[:, 2], half_a, half_b), (away, b[:, 2], half_b, half_a)):
        along = vector[:, 0] * heading.cos() + vector[:, 1] * heading.sin()
        across = vector[:, 1] * heading.cos() - vector[:, 0] * heading.sin()
        apart |= along.abs() > mine[:, 0] + (shadow * theirs).sum(dim=-1)
        apart |= across.abs() > mine[:, 1] + (shadow.flip(-1) * theirs).sum(dim=-1)
    return ~apart


def _squarely(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of the angle between the heading of `a` and the direction to `b`."""
    away = b[:, :2] - a[:, :2]
    along = away[:, 0] * a[:, 2].cos() + away[:, 1] * a[:, 2].sin()
    return along / away.norm(dim=-1).clamp_min(1e-6)
