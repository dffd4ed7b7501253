"""Positions of steps: sinusoids of geometrically spaced periods (Vaswani et al., 2017), or a learned table."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SinusoidalPositions(nn.Module):
    """Sines, then cosines, of `position / 10000^(2i / width)`; for positions of any size.

    Args:
        width: Even.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        exponents = torch.arange(width // 2, dtype=torch.float32) / (width // 2)
        self.register_buffer("frequencies", torch.exp(-math.log(10000.0) * exponents), persistent=False)

    def forward(self, position: Tensor) -> Tensor:
        """Int64 `[...]` to `[...,width]`."""
        angle = position.float().unsqueeze(-1) * self.frequencies
        return torch.cat((angle.sin(), angle.cos()), dim=-1)


class LearnedPositions(nn.Module):
    """A vector for each of `count` positions; position `count` is position 0 again.

    Args:
        width: Of the vectors.
        count: How many there are.
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(count, width))

    def forward(self, position: Tensor) -> Tensor:
        """Int64 `[...]` to `[...,width]`."""
        return nn.functional.embedding(position % self.table.shape[0], self.table)
