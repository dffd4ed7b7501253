"""Linear layers with DreamerV3's initialisation: dense ones, and block-diagonal ones on block-major rows.

Block-major means `[blocks,R,size]`: block first, so that the product is one batched matrix product and nothing is moved between
consecutive block layers. In rows `[R,D]` feature `g * size + i` is entry `i` of block `g`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def init_weight(weight: Tensor, fan_in: int) -> None:
    """Fill with a normal distribution truncated at two standard deviations, variance 1 / fan_in after truncation."""
    std = 1.1368 / fan_in**0.5
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def dense(inputs: int, outputs: int, *, bias: bool = True, fan_in: int | None = None) -> nn.Linear:
    """A dense layer with that initialisation and zero bias; `fan_in` where the layer is a part of a wider one."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    init_weight(layer.weight.data, fan_in or inputs)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def to_blocks(rows: Tensor, blocks: int) -> Tensor:
    """Rows `[R,D]` as a block-major view `[blocks,R,D/blocks]`."""
    return rows.unflatten(-1, (blocks, -1)).transpose(0, 1)


def from_blocks(x: Tensor) -> Tensor:
    """Block-major `[blocks,R,size]` as contiguous rows `[R,blocks*size]`."""
    return x.transpose(0, 1).flatten(1)


class BlockLinear(nn.Module):
    """Each block of the input is mapped to the same block of the output.

    The kernel is `[blocks,in/blocks,out/blocks]` and the bias `[out]`. Its fan-in for the initialisation is the whole input, not one
    block's share: that is what the official implementation does.

    Args:
        inputs: Width of the input, a multiple of `blocks`.
        outputs: Width of the output, a multiple of `blocks`.
        blocks: Number of blocks.
    """

    def __init__(self, inputs: int, outputs: int, *, blocks: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(blocks, inputs // blocks, outputs // blocks))
        self.bias = nn.Parameter(torch.zeros(outputs))
        init_weight(self.kernel.data, inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Block-major `[blocks,R,in/blocks]` to `[blocks,R,out/blocks]`."""
        return torch.baddbmm(self.bias.view(self.kernel.shape[0], 1, -1), x, self.kernel)
