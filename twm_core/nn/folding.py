"""Agents as rows of their own: a batch `[B,...,A,...]` of windows as one `[R,...,1,...]` of single agents, in training.

Windows hold different numbers of agents, and agents come and go: on crowds more than half of the slots of a batch are empty. Where agents
have latents of their own and do not interact in the dynamics (what they see of one another is in their tokens already), every slot that is
never filled can be left out without changing a loss, because losses average over agents that exist.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.nn.interfaces import Embedding
from twm_core.specs import ActionSpec, ObservationSpec

_SMALL = ("B", "B T")


def can_fold(obs_spec: ObservationSpec) -> bool:
    """Whether a batch is of agents, with nothing large that belongs to the window as a whole and would have to be repeated."""
    return obs_spec.has("agents.exists") and all("A" in k.axes.split() or k.axes in _SMALL for k in obs_spec.keys)


class AgentRows(NamedTuple):
    """Where the agents that exist at some step stand in a batch: window and slot of each, `[R]`."""

    window: Tensor
    slot: Tensor

    def of_agents(self, x: Tensor, axis: int) -> Tensor:
        """`[B,...,A,...]` with agents at `axis` to `[R,...,1,...]`."""
        return x.movedim(axis, 1)[self.window, self.slot].unsqueeze(axis)


def agent_rows(batch: Batch) -> AgentRows:
    """The agents that exist at some step; the first slot of the first window where there is nobody at all."""
    there = batch["agents.exists"].any(dim=1)  # B A
    window, slot = there.nonzero(as_tuple=True)
    if not len(window):
        window = slot = there.new_zeros(1, dtype=torch.long)
    return AgentRows(window, slot)


def fold_agents(batch: Batch, rows: AgentRows, obs_spec: ObservationSpec, action: ActionSpec | None) -> Batch:
    """The agents of a batch, each as a window of its own with one slot.

    Args:
        batch: Windows `[B,...]`.
        rows: Which agents.
        obs_spec: Spec of the batch.
        action: Spec of its actions.
    """
    folded: Batch = {}
    for key, value in batch.items():
        if key == "action":
            per_agent = action is not None and action.layout == "agents"
            folded[key] = rows.of_agents(value, 2) if per_agent else value[rows.window]
        elif obs_spec.has(key):
            axes = obs_spec.get(key).axes.split()
            folded[key] = rows.of_agents(value, axes.index("A")) if "A" in axes else value[rows.window]
        else:
            raise PluginError(f"key {key!r} of the batch is not in the spec of the dataset", "add it to the spec, or leave it out")
    return folded


def fold_tokens(tokens: Embedding, rows: AgentRows) -> Embedding:
    """Tokens `[B,T,D]` and `[B,T,A,D]` for these agents: each has a copy of its scene's."""
    scene, agents = tokens
    return Embedding(None if scene is None else scene[rows.window], None if agents is None else rows.of_agents(agents, 2))


def fold_withheld(withheld: Tensor | None, rows: AgentRows) -> Tensor | None:
    """Observations that are kept from the state, `[B,T]` or `[B,T,A]`, for these agents."""
    if withheld is None:
        return None
    return rows.of_agents(withheld, 2) if withheld.dim() == 3 else withheld[rows.window]
