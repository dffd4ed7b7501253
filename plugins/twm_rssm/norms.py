"""The norms inside the RSSM, chosen by name: `rms` (scale only, DreamerV3 today) or `layer` (scale and offset, early DreamerV3).

A linear layer before an RMS norm has a bias; before a layer norm it has none, because the norm's offset takes its place. Layer norm:
y = scale * (x - mean(x)) / sqrt(var(x) + eps) + offset (Ba et al., "Layer normalization", 2016), in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.nn.linear import from_blocks, to_blocks
from twm_core.nn.norm import NormSiLU, norm_silu

NormKind = Literal["rms", "layer"]


class LayerNormSiLU(nn.Module):
    """Layer norm over the last axis, then SiLU; used like `NormSiLU`.

    Args:
        width: Of the last axis.
        eps: Added to the variance.
    """

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.offset = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """`[...,width]` to the same shape and dtype."""
        return F.silu(F.layer_norm(x.float(), self.scale.shape, self.scale, self.offset, self.eps)).to(x.dtype)

    def in_blocks(self, x: Tensor) -> Tensor:
        """The same on block-major input `[blocks,R,width/blocks]`, normed over blocks and width together."""
        return to_blocks(self(from_blocks(x)), x.shape[0])


SiLUNorm = NormSiLU | LayerNormSiLU


def side_by_side(one: SiLUNorm, two: SiLUNorm) -> Callable[[Tensor], Tensor]:
    """Two norms of the same kind and width as one call on `[...,2,width]`."""
    scale, eps = torch.stack((one.scale, two.scale)), one.eps
    if isinstance(one, NormSiLU) or isinstance(two, NormSiLU):
        return lambda x: norm_silu(x, scale, eps)
    offset = torch.stack((one.offset, two.offset))
    return lambda x: F.silu(F.layer_norm(x.float(), x.shape[-1:], eps=eps) * scale + offset).to(x.dtype)


def norm_silu_layer(kind: NormKind, width: int, *, eps: float) -> SiLUNorm:
    """A norm with SiLU of the chosen kind."""
    return NormSiLU(width, eps=eps) if kind == "rms" else LayerNormSiLU(width, eps=eps)


def norm_layer(kind: NormKind, width: int, *, eps: float) -> nn.RMSNorm | nn.LayerNorm:
    """A norm of the chosen kind without an activation, for gates `[...,width]`."""
    return nn.RMSNorm(width, eps=eps) if kind == "rms" else nn.LayerNorm(width, eps=eps)
