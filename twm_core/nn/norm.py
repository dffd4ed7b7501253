"""RMS norm followed by SiLU as one differentiable function with a hand-written backward pass.

y = silu(scale * x / sqrt(mean(x^2) + eps)), with the mean over the given axes, always in float32, scale only (Zhang and Sennrich,
"Root mean square layer normalization", 2019). On the CPU a chain of small operations costs more than the arithmetic, and autograd
doubles the chain; here both directions are written out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _NormSiLU(torch.autograd.Function):
    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(ctx: Any, x: Tensor, scale: Tensor, eps: float, dims: tuple[int, ...]) -> Tensor:
        wide = x.float()
        inverse = wide.square().mean(dims, keepdim=True).add_(eps).rsqrt_()
        hat = wide * inverse
        ctx.save_for_backward(hat, inverse, scale)
        ctx.dims, ctx.dtype = dims, x.dtype
        return nn.functional.silu(hat * scale, inplace=True).to(x.dtype)

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hat, inverse, scale = ctx.saved_tensors
        dims = ctx.dims
        inner = torch.ops.aten.silu_backward(grad.float(), hat * scale)
        scale_grad = (inner * hat).sum_to_size(scale.shape)
        inner *= scale
        share = (inner * hat).mean(dims, keepdim=True)
        inner.addcmul_(hat, share, value=-1).mul_(inverse)
        return inner.to(ctx.dtype), scale_grad, None, None


def norm_silu(x: Tensor, scale: Tensor, eps: float, dims: tuple[int, ...] = (-1,)) -> Tensor:
    """silu(scale * rms_norm(x)).

    Args:
        x: Any shape; the result has its shape and dtype.
        scale: Float32, broadcastable to `x`.
        eps: Added to the mean square.
        dims: Axes over which the mean square is taken.
    """
    return _NormSiLU.apply(x, scale, eps, dims)


class NormSiLU(nn.Module):
    """RMS norm over the last axis, then SiLU.

    Args:
        shape: Shape of the scale: `(width,)`, or `(n, width)` for `n` inputs `[...,n,width]` normed separately in one call.
        eps: Added to the mean square.
    """

    def __init__(self, *shape: int, eps: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(shape))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """`[...,width]` to the same shape."""
        return norm_silu(x, self.scale, self.eps)

    def in_blocks(self, x: Tensor) -> Tensor:
        """The same on block-major input `[blocks,R,width/blocks]`, normed over blocks and width together."""
        blocks, _, size = x.shape
        return norm_silu(x, self.scale.view(blocks, 1, size), self.eps, (0, 2))
