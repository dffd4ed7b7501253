"""Nearest doubling followed by a convolution, computed as one smaller convolution.

After doubling, the `k` taps of a kernel along one axis fall on `m = 2 ceil((k // 2) / 2) + 1` different pixels of the small map (5 taps
on 3), and on which ones depends only on whether the output pixel is even or odd. So the kernels of the four kinds of output pixel are
sums of entries of the big kernel,

    folded[p, q, :, :, i, j] = sum over a, b of fold[p, i, a] fold[q, j, b] kernel[:, :, a, b]

and one `m x m` convolution of the small map with four times as many output channels gives all of them: 9 products for each output
pixel instead of 25, exactly, zero padding included. The parameters stay `k x k` kernels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.nn.linear import init_weight
from twm_core.nn.norm import NormSiLU
from twm_multimodal.stage import stage


def fold_matrix(kernel: int) -> Tensor:
    """`fold[p,i,a]` of `[2,m,k]`: 1 where tap `a` of an output pixel of parity `p` falls on pixel `i` of the small map, else 0."""
    radius = kernel // 2
    reach = (radius + 1) // 2
    fold = torch.zeros(2, 2 * reach + 1, kernel)
    for parity in range(2):
        for tap in range(kernel):
            fold[parity, (parity + tap - radius) // 2 + reach, tap] = 1
    return fold


class UpConv(nn.Module):
    """A `k x k` convolution of the map doubled by nearest neighbours.

    Args:
        inputs: Channels of the map.
        outputs: Channels of the doubled map.
        kernel: `k`, odd.
        bias: Whether a bias is added.
    """

    fold: Tensor

    def __init__(self, inputs: int, outputs: int, *, kernel: int, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        init_weight(self.weight.data, inputs * kernel**2)
        self.register_buffer("fold", fold_matrix(kernel), persistent=False)

    def folded(self) -> tuple[Tensor, Tensor | None]:
        """Kernel `[4 outputs,C,m,m]` and bias for the small map; the four kinds of pixel come first, then the channels."""
        parts = torch.einsum("oiab,pma,qnb->pqoimn", self.weight, self.fold, self.fold)
        return parts.flatten(0, 2), None if self.bias is None else self.bias.repeat(4)

    def forward(self, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """`[N,h,w,C]` to `[N,2h,2w,outputs]`, followed by a norm with activation over the channels, where one is given."""
        weight, bias = self.folded()
        if norm is None:
            return stage(x, weight, bias, None, eps=0.0, kind="spread")
        if isinstance(norm, NormSiLU):
            return stage(x, weight, bias, norm.scale, eps=norm.eps, kind="double")
        return norm(stage(x, weight, bias, None, eps=0.0, kind="spread"))

    def plain(self, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """The same as it is defined: what the tests compare with."""
        doubled = x.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2).permute(0, 3, 1, 2)
        y = F.conv2d(doubled, self.weight, self.bias, padding=self.weight.shape[-1] // 2).permute(0, 2, 3, 1)
        return y if norm is None else norm(y)
