"""What an agent sees: its own motion in a chosen frame, and its neighbours' in its own frame (origin at its position, x along its heading).

Own motion, with world-frame vectors (velocity, acceleration) rotated into the frame:

    agent   the agent's own frame: position and heading drop out, so nothing changes when the whole scene is shifted or turned
    scene   origin at the mean position of the agents of this step, x along their mean heading (the direction of the sum of their unit
            vectors): nothing changes when the whole scene is shifted or turned, but everybody's place in it is known
    world   the coordinates of the data, which do not carry over to another place (the seed's original)

The last two give position, and heading as cosine and sine. Own-frame features (sizes, lane offsets, flags) pass as they are; angles become
sine and cosine, categorical ones one-hot. All are addressed by name, through the spec.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from twm_core.specs import KeySpec

_VECTORS = (("vx", "vy"), ("ax", "ay"))
_SIZES = ("length", "width")

FrameName = Literal["agent", "scene", "world"]


def rotate(x: Tensor, y: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """World vector `(x, y)` in a frame turned by the angle with this cosine and sine."""
    return x * cos + y * sin, y * cos - x * sin


def scene_frame(x: Tensor, y: Tensor, heading: Tensor, exists: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean position (x, y) and mean heading of those that exist, `[...,A]` to `[...,1]`; zeros where there is nobody."""
    count = exists.sum(dim=-1, keepdim=True).clamp_min(1)

    def total(values: Tensor) -> Tensor:
        return torch.where(exists, values, 0).sum(dim=-1, keepdim=True)

    return total(x) / count, total(y) / count, torch.atan2(total(heading.sin()), total(heading.cos()))


class OwnFeatures(nn.Module):
    """Motion of each agent in a frame, see the module.

    Args:
        state: Spec of `agents.state`.
        frame: `agent`, `scene` or `world`.

    Attributes:
        width: Number of features that come out.
    """

    def __init__(self, state: KeySpec, frame: FrameName = "agent") -> None:
        super().__init__()
        names = [f.name for f in state.features]
        self.frame: FrameName = frame
        self.x, self.y, self.heading = (state.index(n) for n in ("x", "y", "heading"))
        self.vectors = [(state.index(a), state.index(b)) for a, b in _VECTORS if a in names and b in names]
        own = [(i, f) for i, f in enumerate(state.features) if f.frame == "own"]
        self.plain = [i for i, f in own if f.kind in ("continuous", "flag")]
        self.angles = [i for i, f in own if f.kind == "angle"]
        self.classes = [(i, f.width) for i, f in own if f.kind == "categorical"]
        pose = 0 if frame == "agent" else 4
        self.width = pose + 2 * len(self.vectors) + len(self.plain) + 2 * len(self.angles) + sum(n for _, n in self.classes)

    def forward(self, state: Float[Tensor, "*B A F"], exists: Bool[Tensor, "*B A"]) -> Float[Tensor, "*B A W"]:
        """Features of each agent from the state at one step, which must be finite throughout."""
        heading = state[..., self.heading]
        parts: list[Tensor] = []
        if self.frame == "agent":
            cos, sin = heading.cos(), heading.sin()
        else:
            x, y, turn = state[..., self.x], state[..., self.y], torch.zeros_like(heading)
            if self.frame == "scene":
                middle_x, middle_y, turn = scene_frame(x, y, heading, exists)
                x, y = x - middle_x, y - middle_y
            cos, sin = turn.cos(), turn.sin()
            parts = [*rotate(x, y, cos, sin), (heading - turn).cos(), (heading - turn).sin()]
        parts += [v for i, j in self.vectors for v in rotate(state[..., i], state[..., j], cos, sin)]
        parts += [state[..., i] for i in self.plain]
        parts += [f(state[..., i]) for i in self.angles for f in (torch.sin, torch.cos)]
        stacked = torch.stack(parts, dim=-1)
        hot = [F.one_hot(state[..., i].long().clamp(0, n - 1), n).to(state.dtype) for i, n in self.classes]
        return torch.cat([stacked, *hot], dim=-1)


class NeighbourFeatures(nn.Module):
    """Relative pose and motion of the `K` nearest agents, in the frame of the one who looks.

    Distances pass through log1p, because a metre matters more at 5 m than at 50 m.

    Args:
        state: Spec of `agents.state`.
        nearest: `K`.
    """

    width = 9

    def __init__(self, state: KeySpec, nearest: int) -> None:
        super().__init__()
        names = [f.name for f in state.features]
        self.pose = [state.index(n) for n in ("x", "y", "heading", "vx", "vy")]
        self.sizes = [state.index(n) for n in _SIZES if n in names]
        self.nearest = nearest
        self.width = 9 + len(self.sizes)

    def forward(self, state: Float[Tensor, "N A F"], exists: Bool[Tensor, "N A"]) -> tuple[Float[Tensor, "N A K W"], Bool[Tensor, "N A K"]]:
        """Features of the neighbours of each agent and which of them are real. `K` is at most `A`; an agent is not its own neighbour."""
        x, y, heading, vx, vy = (state[..., i] for i in self.pose)
        with torch.no_grad():
            gap = (x[:, :, None] - x[:, None, :]).square() + (y[:, :, None] - y[:, None, :]).square()
            alone = torch.eye(x.shape[1], dtype=torch.bool, device=x.device)
            gap = gap.masked_fill(alone | ~(exists[:, :, None] & exists[:, None, :]), float("inf"))
            distance, index = gap.topk(min(self.nearest, x.shape[1]), dim=-1, largest=False, sorted=False)
            real = distance.isfinite()

        def theirs(value: Tensor) -> Tensor:
            return value.gather(1, index.flatten(1)).view_as(index)

        cos, sin = heading.cos()[..., None], heading.sin()[..., None]
        dx, dy = rotate(theirs(x) - x[..., None], theirs(y) - y[..., None], cos, sin)
        dvx, dvy = rotate(theirs(vx) - vx[..., None], theirs(vy) - vy[..., None], cos, sin)
        turn = theirs(heading) - heading[..., None]
        squared = dx.square() + dy.square()
        far = (squared + 1e-6).sqrt()
        log = torch.log1p(far)
        parts = [dx / 20, dy / 4, log * dx / far, log * dy / far, log / 3, dvx / 5, dvy / 5, turn.cos(), turn.sin()]
        parts += [theirs(state[..., i]) / 5 for i in self.sizes]
        return torch.stack(parts, dim=-1) * real[..., None], real
