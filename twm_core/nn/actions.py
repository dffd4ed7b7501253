"""Actions of a sequence, brought to where dynamics use them: the action that leads to each step, checked, masked and expanded.

`action[:, t]` leads to step `t+1`, so the input of step `t` is the action before it. An action before a reset, and that of an agent
which was not there, count as zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from twm_core.errors import Mismatch
from twm_core.nn.state import time_major
from twm_core.specs import ActionSpec


def check_actions(actions: Tensor | None, spec: ActionSpec | None) -> None:
    """Refuse actions where none were declared, and the lack of declared ones.

    Raises:
        Mismatch: Actions and spec disagree.
    """
    if (actions is None) != (spec is None):
        declared = "no actions" if spec is None else f"actions of width {spec.width}"
        raise Mismatch(needs=declared, got="none" if actions is None else f"actions of shape {tuple(actions.shape)}")


def previous_actions(actions: Tensor, first_action: Tensor | None, is_first: Tensor) -> Tensor:
    """The action that leads to each step, with the shape of `actions` `[B,T,U]` or `[B,T,A,U]`.

    Args:
        actions: Those of the sequence.
        first_action: The one that leads to its first step, `[B,U]` or `[B,A,U]`; None is zero.
        is_first: bool `[B,T]`, resets.
    """
    start = torch.zeros_like(actions[:, 0]) if first_action is None else first_action
    previous = torch.cat((start.unsqueeze(1), actions[:, :-1]), dim=1)
    return torch.where(is_first.view(*is_first.shape, *(1 for _ in actions.shape[2:])), 0.0, previous)


def masked_actions(actions: Tensor, spec: ActionSpec, exists: Tensor | None) -> Tensor:
    """Actions in float32, zero for agents that do not exist.

    Args:
        actions: `[B,T,U]` or `[B,T,A,U]`.
        spec: Their spec; actions of the scene are not masked.
        exists: bool `[B,T,A]` or `[B,A]`; None means that all exist.
    """
    actions = actions.float()
    if spec.layout == "scene" or exists is None:
        return actions
    mask = exists if exists.dim() == 3 else exists.unsqueeze(1)
    return torch.where(mask.unsqueeze(-1), actions, 0.0)


def spread_over_agents(parts: Tensor, agents: tuple[int, ...]) -> Tensor:
    """Something of the scene, `[T,B,D]`, for every agent: `[T,B*A,D]`; unchanged where `agents` is empty."""
    return parts.unsqueeze(2).expand(-1, -1, *agents, -1).flatten(1, 2) if agents else parts


def action_parts(
    actions: Tensor, spec: ActionSpec, exists: Tensor | None, project: Callable[[Tensor], Tensor], *, agents: tuple[int, ...]
) -> Tensor:
    """Actions through a linear map, as rows for a loop over time: `[T,R,D]` with `R = B` or `B*A`.

    An action of the scene is mapped once and then given to every agent.

    Args:
        actions: `[B,T,U]` or `[B,T,A,U]`.
        spec: Their spec.
        exists: bool `[B,T,A]` or `[B,A]`: what an agent that does not exist does counts as zero. None means that all exist.
        project: From width `U` to width `D`.
        agents: `()` where the rows are scenes, `(A,)` where they are agents.

    Raises:
        Mismatch: Actions and spec disagree.
    """
    check_actions(actions, spec)
    actions = masked_actions(actions, spec, exists)
    if spec.layout == "agents":
        return project(time_major(actions))
    return spread_over_agents(project(actions.transpose(0, 1)), agents)
