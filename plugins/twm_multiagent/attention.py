"""Attention with masks: over the agents of a scene, over the neighbours of an agent, and pooling of agents into a scene token.

Every form gives a defined result (zeros) where there is nobody to attend to, with a zero gradient, because scenes do run empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

Activation = Literal["silu", "relu", "gelu"]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"silu": F.silu, "relu": F.relu, "gelu": F.gelu}


class AgentLayer(nn.Module):
    """A pre-norm Transformer layer over the agents of each scene (Vaswani et al. 2017; pre-norm after Xiong et al. 2020).

    Dropout acts on the attention weights, inside the feed-forward part, and on what each part adds to the tokens.
    """

    def __init__(self, width: int, heads: int, dropout: float, activation: Activation = "gelu") -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.activation = ACTIVATIONS[activation]
        self.norm_attention, self.norm_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.forward_1, self.forward_2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Float[Tensor, "N A D"], exists: Bool[Tensor, "N A"]) -> Float[Tensor, "N A D"]:
        """Tokens after one layer. Agents attend to those that exist and to themselves."""
        n, a, d = tokens.shape
        q, k, v = self.qkv(self.norm_attention(tokens)).view(n, a, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        # Everyone sees at least itself, so that no row of the softmax is empty.
        visible = exists[:, None, None, :] | torch.eye(a, dtype=torch.bool, device=tokens.device)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=dropout)
        tokens = tokens + F.dropout(self.out(mixed.transpose(1, 2).reshape(n, a, d)), dropout)
        inner = F.dropout(self.activation(self.forward_1(self.norm_forward(tokens))), dropout)
        return tokens + F.dropout(self.forward_2(inner), dropout)


class NeighbourPooling(nn.Module):
    """Embeds each neighbour and sums them with learned weights (one softmax for each head over the neighbours)."""

    def __init__(self, features: int, hidden: int, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.embed_1, self.embed_2 = nn.Linear(features, hidden), nn.Linear(hidden, hidden)
        self.score = nn.Linear(hidden, heads, bias=False)  # the softmax would not notice one
        self.out = nn.Linear(heads * hidden, width)

    def forward(self, pairs: Float[Tensor, "N A K W"], real: Bool[Tensor, "N A K"]) -> Float[Tensor, "N A D"]:
        """A message to each agent from its neighbours; only the bias of the output layer where there are none."""
        hidden = F.silu(self.embed_2(F.silu(self.embed_1(pairs))))
        weight = self.score(hidden).masked_fill(~real[..., None], -1e9).softmax(dim=2) * real[..., None]
        return self.out(torch.einsum("nakh,nakw->nahw", weight, hidden).flatten(-2))


class ScenePooling(nn.Module):
    """Masked mean, or attention with one learned query for each head, over the agents of a scene; then a linear layer and a norm."""

    def __init__(self, inputs: int, heads: int, width: int, *, attention: bool) -> None:
        super().__init__()
        self.score = nn.Linear(inputs, heads, bias=False) if attention else None
        self.heads = heads
        self.out = nn.Linear(inputs, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Float[Tensor, "N A D"], exists: Bool[Tensor, "N A"]) -> Float[Tensor, "N W"]:
        """The scene token, of width `width`; that of an empty scene is the same learned vector always."""
        if self.score is None:
            mask = exists[..., None].to(tokens.dtype)
            pooled = (tokens * mask).sum(dim=1) / mask.sum(dim=1).clamp_min(1)
        else:
            weight = self.score(tokens).masked_fill(~exists[..., None], -1e9).softmax(dim=1) * exists[..., None]
            pooled = torch.einsum("nah,nahd->nhd", weight, tokens.unflatten(-1, (self.heads, -1))).flatten(1)
        return self.norm(self.out(pooled))
