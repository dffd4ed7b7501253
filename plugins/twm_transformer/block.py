"""One pre-norm Transformer layer over time (Vaswani et al., 2017; pre-norm: Xiong et al., 2020) that continues from cached keys.

    x = x + out(attention(norm(x)))         x = x + down(gelu(up(norm(x))))

The same function serves a whole sequence and a single step: `T` inputs attend to `n` cached entries and to themselves. Keys carry no
positions of their own (those are added to the input), so that cached entries never change.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Attention over time, then two feed-forward layers. The weights are those of a torch.nn.TransformerEncoderLayer(norm_first=True).

    Args:
        width: `W`.
        heads: Attention heads.
        feedforward: Width of the hidden feed-forward layer.
    """

    def __init__(self, width: int, *, heads: int, feedforward: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, feedforward)
        self.down = nn.Linear(feedforward, width)

    def forward(self, x: Tensor, extend: Callable[[Tensor], Tensor], mask: Tensor, dropped: Tensor | None) -> Tensor:
        """Run over `T` inputs, `[R,T,W]` to `[R,T,W]`.

        Args:
            x: `[R,T,W]`.
            extend: Puts keys and values of the inputs, float32 `[R,2,T,W]`, into the cache and gives those to attend to, `[R,2,n+T,W]`.
            mask: Who attends to whom, bool `[R,1,T,n+T]`; every input attends to itself at least.
            dropped: Dropout factors for both additions, `[R,T,2,W]`; None where nothing is dropped.
        """
        query, key, value = self.query_key_value(self.attention_norm(x)).chunk(3, dim=-1)
        known = extend(torch.stack((key, value), dim=1).float())
        split = known.unflatten(-1, (self.heads, -1)).transpose(2, 3)  # [R,2,heads,n+T,W/heads]
        query = query.float().unflatten(-1, (self.heads, -1)).transpose(1, 2)
        read = F.scaled_dot_product_attention(query, split[:, 0], split[:, 1], attn_mask=mask)
        added = self.out(read.transpose(1, 2).flatten(2))
        x = x + (added if dropped is None else added * dropped[:, :, 0])
        added = self.down(F.gelu(self.up(self.feedforward_norm(x))))
        return x + (added if dropped is None else added * dropped[:, :, 1])
