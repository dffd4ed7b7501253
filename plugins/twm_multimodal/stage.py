"""A convolution together with what follows it, computed for a few images at a time, with a hand-written backward pass.

    pool:    y = conv(x);  2 x 2 maxima of y;                norm over channels, SiLU    `[N,H,W,C] -> [N,H/2,W/2,O]`
    double:  y = conv(x), with 4 O channels, (2,2,O);        norm over O, SiLU; spread   `[N,H,W,C] -> [N,2H,2W,O]`
    spread:  y = conv(x), with 4 O channels, (2,2,O);                           spread   `[N,H,W,C] -> [N,2H,2W,O]`

The largest tensor of an image network on the CPU is what a convolution returns, and going through it again for pooling, norm and
activation costs more than some of the convolutions. Here that tensor never exists for the whole batch: it is made for as many images as
fit the cache, used and dropped, in the backward pass too. The results are those of the plain operations (the tests compare them).
Images are `[N,H,W,C]` throughout; `oiHW` kernels are torch's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Kind = Literal["pool", "double", "spread"]

CACHE = 1 << 20
"""Numbers that a convolution may return at once on the CPU (4 MB): about what stays in the cache until it is used."""


def spread(x: Tensor) -> Tensor:
    """`[N,h,w,2,2,C]` (beside every small pixel its four pixels) as `[N,2h,2w,C]`."""
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def gather(x: Tensor) -> Tensor:
    """The inverse of `spread`, as a view."""
    return x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3)


def _chunks(x: Tensor, outputs: int) -> Iterator[tuple[int, int]]:
    """Bounds of the parts of the batch."""
    count, height, width, _ = x.shape
    size = max(1, CACHE // (height * width * outputs)) if x.device.type == "cpu" else count
    return ((i, min(i + size, count)) for i in range(0, count, size))


class _Stage(torch.autograd.Function):
    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None, eps: float, kind: Kind, keep: bool
    ) -> Tensor:
        count, height, width, _ = x.shape
        outputs, padding = weight.shape[0], (weight.shape[-1] - 1) // 2
        inner = (height // 2, width // 2, outputs) if kind == "pool" else (height, width, 2, 2, outputs // 4)
        outer = inner if kind == "pool" else (2 * height, 2 * width, outputs // 4)
        out = x.new_empty((count, *outer))
        exact = torch.promote_types(x.dtype, torch.float32)
        hats = x.new_empty((count, *inner), dtype=exact) if keep and scale is not None else None
        inverses: list[Tensor] = []
        picks: list[Tensor] = []
        for i, j in _chunks(x, outputs):
            y = F.conv2d(x[i:j].permute(0, 3, 1, 2), weight, bias, padding=padding)
            ctx.dtype = y.dtype
            if kind == "pool":
                y, pick = F.max_pool2d(y, 2, return_indices=True)
                picks.append(pick.to(torch.int16 if height * width <= 1 << 15 else torch.int32))
            y = y.permute(0, 2, 3, 1).reshape(j - i, *inner)
            if scale is not None:
                wide = y.to(exact)
                inverse = wide.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
                hat = torch.mul(wide, inverse, out=None if hats is None else hats[i:j])
                inverses.append(inverse)
                y = F.silu(hat * scale, inplace=True)
            (out[i:j] if kind == "pool" else gather(out[i:j])).copy_(y)
        if keep:
            ctx.save_for_backward(x, weight, bias, scale, hats)
            ctx.inverses, ctx.picks, ctx.kind, ctx.inner, ctx.padding = inverses, picks, kind, inner, padding
        return out

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, Tensor | None, None, None, None]:
        x, weight, bias, scale, hats = ctx.saved_tensors
        _, height, width, _ = x.shape
        kind, kernel = ctx.kind, weight.to(ctx.dtype)
        x_grad = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        weight_grad = torch.zeros_like(weight)
        bias_grad = None if bias is None else torch.zeros_like(bias)
        scale_grad = None if scale is None else torch.zeros_like(scale)
        for n, (i, j) in enumerate(_chunks(x, weight.shape[0])):
            g = grad[i:j] if kind == "pool" else gather(grad[i:j])
            if scale is not None and scale_grad is not None:
                hat = hats[i:j]
                g = torch.ops.aten.silu_backward(g.to(hat.dtype).contiguous(), hat * scale)
                scale_grad += (g * hat).flatten(0, -2).sum(0)
                g *= scale
                share = (g * hat).mean(-1, keepdim=True)
                g.addcmul_(hat, share, value=-1).mul_(ctx.inverses[n])
            g = g.reshape(j - i, ctx.inner[0], ctx.inner[1], -1).permute(0, 3, 1, 2).to(ctx.dtype)
            if kind == "pool":
                like = g.new_empty((j - i, height, width, g.shape[1])).permute(0, 3, 1, 2)
                pick = ctx.picks[n].long()
                g = torch.ops.aten.max_pool2d_with_indices_backward(g, like, [2, 2], [2, 2], [0, 0], [1, 1], False, pick)
            part, kernel_part, bias_part = torch.ops.aten.convolution_backward(
                g,
                x[i:j].permute(0, 3, 1, 2).to(ctx.dtype),
                kernel,
                [kernel.shape[0]],
                [1, 1],
                [ctx.padding] * 2,
                [1, 1],
                False,
                [0, 0],
                1,
                [x_grad is not None, True, bias is not None],
            )
            weight_grad += kernel_part
            if bias_grad is not None:
                bias_grad += bias_part
            if x_grad is not None:
                x_grad[i:j] = part.permute(0, 2, 3, 1)
        return x_grad, weight_grad, bias_grad, scale_grad, None, None, None


def stage(x: Tensor, weight: Tensor, bias: Tensor | None, scale: Tensor | None, *, eps: float, kind: Kind) -> Tensor:
    """A convolution (stride 1, odd kernel, size kept) and what follows it.

    Args:
        x: Images `[N,H,W,C]`.
        weight: Kernel `[O,C,k,k]`, or `[4 O,C,k,k]` with the four kinds of pixel first, for `double` and `spread`.
        bias: As many as the kernel has outputs, or None.
        scale: Of the norm, `[O]`; None leaves norm and SiLU out.
        eps: Added to the mean square in the norm.
        kind: What follows, see above.
    """
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias, scale))
    return _Stage.apply(x, weight, bias, scale, eps, kind, keep)
