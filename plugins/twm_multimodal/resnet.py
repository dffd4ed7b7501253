"""The residual image networks of early DreamerV3 (release 1.5.0): strided convolutions that halve, residual blocks, and their mirror image.

    block(x) = x + conv3(silu(norm(conv3(silu(norm(x))))))
    encoder:  (conv 4 x 4 stride 2, norm, SiLU, blocks) until the height is `minres`; SiLU after the last block; flatten as (h, w, c)
    decoder:  Linear to `minres`, (blocks, transposed conv 4 x 4 stride 2, norm, SiLU) until the size is reached; no norm at the end

Channels double with every halving. He et al., "Identity mappings in deep residual networks", 2016, for the order inside a block.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from twm_core.nn.linear import dense, init_weight
from twm_multimodal.cnn import convolution, over_channels
from twm_multimodal.mlp import NormKind, norm_act


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity, each after a norm and SiLU; `[N,C,H,W]` to the same shape."""

    def __init__(self, channels: int, *, norm: NormKind, eps: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList([norm_act(norm, channels, eps=eps) for _ in range(2)])
        self.convolutions = nn.ModuleList([convolution(channels, channels, 3) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions make of `x` to it."""
        y = x
        for norm, layer in zip(self.norms, self.convolutions, strict=True):
            y = layer(over_channels(norm, y))
        return x + y


def _blocks(count: int, channels: int, *, norm: NormKind, eps: float) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels, norm=norm, eps=eps) for _ in range(count)))


class ResidualCNN(nn.Module):
    """The encoder.

    Args:
        inputs: Channels of the images.
        channels: Channels after each halving.
        blocks: Residual blocks after each halving.
        norm: Kind of the norms.
        eps: Added to the mean square in the norms.
    """

    def __init__(self, *, inputs: int, channels: tuple[int, ...], blocks: int, norm: NormKind, eps: float) -> None:
        super().__init__()
        pairs = zip((inputs, *channels), channels, strict=False)
        self.halvings = nn.ModuleList([convolution(i, o, 4, stride=2, bias=norm == "rms") for i, o in pairs])
        self.norms = nn.ModuleList([norm_act(norm, c, eps=eps) for c in channels])
        self.blocks = nn.ModuleList([_blocks(blocks, c, norm=norm, eps=eps) for c in channels])
        self.last = nn.SiLU() if blocks else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Images `[N,C,H,W]`, centred, to `[N,h*w*c]`."""
        x = x.contiguous(memory_format=torch.channels_last)
        for halve, norm, blocks in zip(self.halvings, self.norms, self.blocks, strict=True):
            x = blocks(over_channels(norm, halve(x)))
        return self.last(x).permute(0, 2, 3, 1).flatten(1)


class TransposedCNN(nn.Module):
    """The decoder.

    Args:
        inputs: Width of the features.
        size: Height and width of the smallest map.
        channels: Channels before each doubling.
        outputs: Channels of the images.
        blocks: Residual blocks before each doubling.
        norm: Kind of the norms.
        eps: Added to the mean square in the norms.
    """

    def __init__(
        self,
        *,
        inputs: int,
        size: tuple[int, int],
        channels: tuple[int, ...],
        outputs: int,
        blocks: int,
        norm: NormKind,
        eps: float,
    ) -> None:
        super().__init__()
        self.size = size
        self.first = dense(inputs, size[0] * size[1] * channels[0])
        self.blocks = nn.ModuleList([_blocks(blocks, c, norm=norm, eps=eps) for c in channels])
        pairs = list(zip(channels, (*channels[1:], outputs), strict=True))
        self.doublings = nn.ModuleList([_transposed(i, o, bias=norm == "rms") for i, o in pairs[:-1]])
        self.norms = nn.ModuleList([norm_act(norm, c, eps=eps) for c in channels[1:]])
        self.last = _transposed(*pairs[-1], bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N,D]` to images `[N,C,H,W]`, before the last squashing."""
        x = self.first(x).unflatten(-1, (*self.size, -1)).permute(0, 3, 1, 2)
        for double, norm, blocks in zip(self.doublings, self.norms, self.blocks, strict=False):
            x = over_channels(norm, double(blocks(x)))
        return self.last(self.blocks[-1](x))


def _transposed(inputs: int, outputs: int, *, bias: bool) -> nn.ConvTranspose2d:
    """A transposed convolution that doubles the size; the fan-in of its initialisation is the whole kernel."""
    layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=bias)
    init_weight(layer.weight.data, inputs * 16)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
