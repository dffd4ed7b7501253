"""Joining the tokens of several encoders; see `twm_core.recipe.fusion` for what the modes mean.

Cross-attention. A query token q of width D attends to the tokens k_i that the other encoders give at the same place (same step, and for
agents the same agent; their scene tokens too), and to an empty slot of score 0 and value 0:

    out = q + W_o sum_i softmax([s_1 .. s_K, 0])_i V_i k_i        s_i = (W_q norm(q)) . (K_i k_i) / sqrt(D / heads)

Each source has its own projections, because widths differ. With the empty slot a token can leave the others unheeded. After Vaswani et
al., "Attention is all you need", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from twm_core.nn.interfaces import Embedding
from twm_core.recipe.fusion import PARTS, FusionConfig
from twm_core.specs import EmbeddingSpec


class Fusion(nn.Module):
    """Embeddings of several encoders to one.

    Args:
        config: The mode.
        embeddings: What each encoder gives, in order.
    """

    def __init__(self, *, config: FusionConfig, embeddings: Sequence[EmbeddingSpec]) -> None:
        super().__init__()
        self.mode = config.mode if len(embeddings) > 1 else "concat"
        self.attention = nn.ModuleDict()
        if self.mode == "cross-attention":
            for part in PARTS:
                first = next((i for i, e in enumerate(embeddings) if getattr(e, part) is not None), None)
                if first is None:
                    continue
                others = [e for i, e in enumerate(embeddings) if i != first]
                sources = [w for e in others for w in ((e.scene, e.agents) if part == "agents" else (e.scene,)) if w is not None]
                if sources:
                    self.attention[part] = CrossAttention(getattr(embeddings[first], part), sources, heads=config.heads)

    def forward(self, tokens: Sequence[Embedding]) -> Embedding:
        """One embedding; tokens `[B,T,D]` and `[B,T,A,D]`."""
        if len(tokens) == 1:
            return tokens[0]
        return Embedding(*(self._joined(part, tokens) for part in PARTS))

    def _joined(self, part: str, tokens: Sequence[Embedding]) -> Tensor | None:
        found = [x for t in tokens if (x := getattr(t, part)) is not None]
        if len(found) < 2 and part not in self.attention:
            return found[0] if found else None
        if self.mode == "concat":
            return torch.cat(found, dim=-1)
        if self.mode == "add":
            return torch.stack(found).sum(dim=0)
        first = next(i for i, t in enumerate(tokens) if getattr(t, part) is not None)
        query = found[0]
        sources: list[Tensor] = []
        for other in (t for i, t in enumerate(tokens) if i != first):
            if other.scene is not None:
                scene = other.scene
                sources.append(scene.unsqueeze(2).expand(*query.shape[:3], -1) if part == "agents" else scene)
            if part == "agents" and other.agents is not None:
                sources.append(other.agents)
        return cast(CrossAttention, self.attention[part])(query, sources)


class CrossAttention(nn.Module):
    """One token attends to a few others, see the module.

    Args:
        width: Width of the query and of the result.
        sources: Widths of the others, in order.
        heads: Attention heads; divides `width`.
    """

    def __init__(self, width: int, sources: Sequence[int], *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.offers = nn.ModuleList(nn.Linear(w, 2 * width) for w in sources)
        self.out = nn.Linear(width, width)

    def forward(self, query: Tensor, sources: Sequence[Tensor]) -> Tensor:
        """`[...,D]` and `[...,E_i]` each to `[...,D]`."""
        offered = torch.stack([offer(x) for offer, x in zip(self.offers, sources, strict=True)], dim=-2)  # ... K 2D
        keys, values = offered.unflatten(-1, (2, self.heads, -1)).unbind(-3)  # ... K heads d
        asked = self.query(self.norm(query)).unflatten(-1, (1, self.heads, -1))  # ... 1 heads d
        scores = (asked * keys).sum(-1).float() * keys.shape[-1] ** -0.5  # ... K heads
        weights = torch.softmax(torch.cat((scores, torch.zeros_like(scores[..., :1, :])), dim=-2), dim=-2)[..., :-1, :]
        return query + self.out((weights.unsqueeze(-1).to(values.dtype) * values).sum(-3).flatten(-2))
