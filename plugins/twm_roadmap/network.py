"""The convolutions: stride 2, kernel 4, each followed by an RMS norm over channels and SiLU.

With kernel 4 and padding 1, output pixel i covers input pixels 2i - 1 to 2i + 2, whose middle is that of the pair 2i, 2i + 1: a feature
map lies exactly over its raster, and the same relative coordinates address both. The norm runs over the channels of one pixel, so
that features depend on what is near and not on what else the raster shows.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from twm_core.nn.norm import norm_silu

_EPS = 1e-3
_MOST = 4
"""Channels double up to this many times those of the first convolution."""


class Downsample(nn.Module):
    """One convolution with norm and SiLU, `[N,C,H,W]` to `[N,C',H/2,W/2]`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel_size=4, stride=2, padding=1)
        self.scale = nn.Parameter(torch.ones(outputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[N,C,H,W]` to `[N,C',H/2,W/2]`."""
        return norm_silu(self.convolution(x), self.scale, _EPS, (1,))


def channels_after(channels: int, layer: int) -> int:
    """Channels after `layer` convolutions (1 for the first)."""
    return channels * min(2 ** (layer - 1), _MOST)


def convolutions(inputs: int, channels: int, layers: int) -> nn.ModuleList:
    """`layers` convolutions from `inputs` channels on."""
    widths = [inputs, *(channels_after(channels, i + 1) for i in range(layers))]
    return nn.ModuleList(Downsample(a, b) for a, b in pairwise(widths))
