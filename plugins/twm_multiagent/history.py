"""The path that led an agent to where it is, in its own frame of the present step: origin at its position, x along its heading.

    for k = 1 .. n-1:   x, y of k steps ago;   the displacement of the step that began there;   whether both were observed

Steps before the episode began, and those at which the agent was not there, count as not observed and hold zeros. Nothing changes when the
world is turned or shifted. With a few such steps a token knows speed, acceleration and turning without waiting for the dynamics to gather
them, and errors of single positions average out.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from twm_core.specs import KeySpec
from twm_multiagent.features import rotate

_EACH = 6  # numbers for each step of the past


class PastPath(nn.Module):
    """See the module.

    Args:
        state: Spec of `agents.state`.
        steps: `n`, the present step among them.

    Attributes:
        width: Number of features that come out.
    """

    def __init__(self, state: KeySpec, steps: int) -> None:
        super().__init__()
        self.pose = [state.index(n) for n in ("x", "y", "heading")]
        self.steps = steps
        self.width = _EACH * (steps - 1)

    def forward(
        self, state: Float[Tensor, "B T A F"], exists: Bool[Tensor, "B T A"], is_first: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T A W"]:
        """Features of the path of each agent; states must be finite throughout."""
        x, y, heading = (state[..., i] for i in self.pose)
        cos, sin = heading.cos(), heading.sin()
        episode = is_first.cumsum(dim=1)
        parts: list[Tensor] = []
        later_x, later_y, later_known = torch.zeros_like(x), torch.zeros_like(y), exists
        for k in range(1, self.steps):
            known = exists & _earlier(exists, k) & (_earlier(episode, k) == episode)[..., None]
            known[:, :k] = False
            own_x, own_y = rotate(_earlier(x, k) - x, _earlier(y, k) - y, cos, sin)
            own_x, own_y = torch.where(known, own_x, 0), torch.where(known, own_y, 0)
            both = known & later_known
            parts += [own_x, own_y, torch.where(both, later_x - own_x, 0), torch.where(both, later_y - own_y, 0)]
            parts += [known.to(x.dtype), both.to(x.dtype)]
            later_x, later_y, later_known = own_x, own_y, known
        return torch.stack(parts, dim=-1)


def _earlier(value: Tensor, steps: int) -> Tensor:
    """What a tensor `[B,T,...]` held some steps earlier; at the beginning, where there was nothing, what it held first."""
    steps = min(steps, value.shape[1])
    return torch.cat([value[:, :1].expand(-1, steps, *value.shape[2:]), value[:, : value.shape[1] - steps]], dim=1)
