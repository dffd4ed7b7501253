"""Attention between agents, one message for each agent and step.

Each agent attends to the other agents that are present, and to an empty slot with score 0 and value 0, so that an agent without
neighbours gets exactly zero and the softmax is always defined: weight_ij = exp(s_ij) / (1 + sum_k exp(s_ik)). Agents that are not
present get the score minus infinity and thus influence nobody, in value and in gradient. All scenes and heads are one batched product.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.nn.deferred import Projection, deferred_linear
from twm_core.nn.linear import dense


class Interaction(nn.Module):
    """Messages between agents; equivariant under permutation of the agents.

    Args:
        hidden: Width of what agents offer and of the message; queries and keys have half of it.
        heads: Attention heads; divides `hidden`.
    """

    def __init__(self, hidden: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.value = hidden // heads
        self.key = max(1, self.value // 2)
        self.project = dense(hidden, heads * (2 * self.key + self.value), bias=False)

    def begin(self) -> Projection:
        """For the steps of one sequence: `message(x, bias)`, see `forward`."""
        project = deferred_linear(self.project.weight)

        def message(x: Tensor, bias: Tensor) -> Tensor:
            return self.messages(project(x), bias)

        return message

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Messages.

        Args:
            x: What each agent offers, `[B*A,hidden]`.
            bias: From `attention_bias`, `[B,1,A,A+1]`.

        Returns:
            `[B*A,hidden]`.
        """
        return self.messages(self.project(x), bias)

    def messages(self, projected: Tensor, bias: Tensor) -> Tensor:
        """Messages from queries, keys and values `[B*A,heads*(2*key+value)]`."""
        scenes, _, agents, _ = bias.shape
        projected = projected.view(scenes, agents, self.heads, -1).transpose(1, 2)  # B heads A (key + key + value)
        query, key, value = projected.split((self.key, self.key, self.value), dim=-1)
        scores = F.pad((query @ key.transpose(-1, -2)).float() * self.key**-0.5, (0, 1)) + bias
        weights = torch.softmax(scores, dim=-1)[..., :-1]
        return (weights.to(value.dtype) @ value).transpose(1, 2).reshape(scenes * agents, -1)


def attention_bias(present: Tensor) -> Tensor:
    """0 where agent `i` may attend to agent `j` and in the last, empty slot, else minus infinity: bool `[B,A]` to `[B,1,A,A+1]`."""
    agents = present.shape[-1]
    allowed = present.unsqueeze(-2) & ~torch.eye(agents, dtype=torch.bool, device=present.device)
    return F.pad(torch.zeros(allowed.shape, device=present.device).masked_fill_(~allowed, float("-inf")), (0, 1)).unsqueeze(1)
