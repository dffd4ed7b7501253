"""Attention between agents, one message for each agent and step.

Each agent attends to the other agents that are present, and to an empty slot with score 0 and value 0, so that an agent without
neighbours gets exactly zero and the softmax is always defined: weight_ij = exp(s_ij) / (1 + sum_k exp(s_ik)). Agents that are not
present get the score minus infinity and thus influence nobody, in value and in gradient. All scenes and heads are one batched product.
With `geometry` scores and values also know where the others are (`geometry.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.nn.linear import dense
from twm_rssm.deferred import deferred_linear
from twm_rssm.geometry import Geometry, PoseAttention

Message = Callable[[Tensor, Tensor, PoseAttention | None], Tensor]
"""What agents offer, who may be attended to, and where they are, to messages."""


class Interaction(nn.Module):
    """Messages between agents; equivariant under permutation of the agents.

    Args:
        hidden: Width of what agents offer and of the message; queries and keys have half of it.
        heads: Attention heads; divides `hidden`.
        geometry: Whether relative poses count.
    """

    def __init__(self, hidden: int, *, heads: int, geometry: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.value = hidden // heads
        self.key = max(1, self.value // 2)
        self.project = dense(hidden, heads * (2 * self.key + self.value), bias=False)
        self.geometry = Geometry(hidden // 2, heads=heads, value=self.value) if geometry else None

    def begin(self) -> Message:
        """For the steps of one sequence: `message(x, bias, seen)`, see `forward`."""
        project = deferred_linear(self.project.weight)

        def message(x: Tensor, bias: Tensor, pose_attention: PoseAttention | None) -> Tensor:
            return self.messages(project(x), bias, pose_attention)

        return message

    def forward(self, x: Tensor, bias: Tensor, pose_attention: PoseAttention | None = None) -> Tensor:
        """Messages.

        Args:
            x: What each agent offers, `[B*A,hidden]`.
            bias: From `attention_bias`, `[B,1,A,A+1]`.
            pose_attention: From `geometry`, leading axis `[B]`; None where no poses are known.

        Returns:
            `[B*A,hidden]`.
        """
        return self.messages(self.project(x), bias, pose_attention)

    def messages(self, projected: Tensor, bias: Tensor, pose_attention: PoseAttention | None = None) -> Tensor:
        """Messages from queries, keys and values `[B*A,heads*(2*key+value)]`."""
        scenes, _, agents, _ = bias.shape
        projected = projected.view(scenes, agents, self.heads, -1).transpose(1, 2)  # B heads A (key + key + value)
        query, key, value = projected.split((self.key, self.key, self.value), dim=-1)
        scores = (query @ key.transpose(-1, -2)).float() * self.key**-0.5
        if pose_attention is not None:
            scores = scores + pose_attention.score
        weights = torch.softmax(F.pad(scores, (0, 1)) + bias, dim=-1)[..., :-1].to(value.dtype)
        messages = weights @ value
        if pose_attention is not None and self.geometry is not None:
            messages = messages + self.geometry.pair_messages(weights, pose_attention)
        return messages.transpose(1, 2).reshape(scenes * agents, -1)


def attention_bias(present: Tensor) -> Tensor:
    """0 where agent `i` may attend to agent `j` and in the last, empty slot, else minus infinity: bool `[B,A]` to `[B,1,A,A+1]`."""
    agents = present.shape[-1]
    allowed = present.unsqueeze(-2) & ~torch.eye(agents, dtype=torch.bool, device=present.device)
    return F.pad(torch.zeros(allowed.shape, device=present.device).masked_fill_(~allowed, float("-inf")), (0, 1)).unsqueeze(1)
