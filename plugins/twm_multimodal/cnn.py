"""The image encoder of DreamerV3: convolution, 2 x 2 max pooling, norm over channels, SiLU; four times.

Images `[N,C,H,W]` in, `[N,h*w*c]` out, flattened in the order (h, w, c). Kernels 5 x 5, stride 1, zero padding; 64 x 64 becomes 4 x 4.
Tensors lie in memory as `[N,H,W,C]` (channels last), so that the norm works on the last axis of a view and nothing is moved.

Source: Hafner et al., "Mastering diverse domains through world models", 2023, as published in `danijar/dreamerv3`.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.nn.linear import init_weight
from twm_core.nn.norm import NormSiLU
from twm_multimodal.mlp import NormKind, norm_act
from twm_multimodal.stage import stage


def convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A convolution with DreamerV3's initialisation that keeps (stride 1) or halves (stride 2, kernel 4) the size."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=(kernel - 1) // 2, bias=bias)
    init_weight(layer.weight.data, inputs * kernel**2)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def over_channels(module: nn.Module, x: Tensor) -> Tensor:
    """A module that works on the last axis, applied to the channels of `[N,C,H,W]` that lie last in memory."""
    return module(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PlainCNN(nn.Module):
    """The stages.

    Args:
        inputs: Channels of the images.
        channels: Channels after each stage.
        kernel: Side of the kernels, odd.
        norm: Kind of the norms.
        eps: Added to the mean square in the norms.
    """

    def __init__(self, *, inputs: int, channels: tuple[int, ...], kernel: int, norm: NormKind, eps: float) -> None:
        super().__init__()
        self.fused = norm == "rms"
        pairs = zip((inputs, *channels), channels, strict=False)
        self.convolutions = nn.ModuleList([convolution(i, o, kernel, bias=norm == "rms") for i, o in pairs])
        self.norms = nn.ModuleList([norm_act(norm, c, eps=eps) for c in channels])

    def forward(self, x: Tensor) -> Tensor:
        """Images `[N,C,H,W]`, centred, to `[N,h*w*c]`."""
        if not self.fused:
            return self.plain(x)
        x = x.permute(0, 2, 3, 1).contiguous()
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            conv, scaled = cast(nn.Conv2d, layer), cast(NormSiLU, norm)
            x = stage(x, conv.weight, conv.bias, scaled.scale, eps=scaled.eps, kind="pool")
        return x.flatten(1)

    def plain(self, x: Tensor) -> Tensor:
        """The same, one operation after the other on the whole batch; the only way for layer norms."""
        x = x.contiguous(memory_format=torch.channels_last)
        for layer, norm in zip(self.convolutions, self.norms, strict=True):
            x = over_channels(norm, F.max_pool2d(layer(x), 2))
        return x.permute(0, 2, 3, 1).flatten(1)
