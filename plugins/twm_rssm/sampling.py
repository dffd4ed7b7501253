"""Straight-through samples of categorical variables from uniform numbers that were drawn beforehand.

With p = (1 - unimix) softmax(logits) + unimix / C the value is one-hot and the gradient is that of p, which is what
one-hot + p - stop_gradient(p) gives (Bengio et al., "Estimating or propagating gradients through stochastic neurons", 2013), here
without its rounding: the value is exactly 0 or 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from twm_core.nn.distributions import certain


def draw_index(probs: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Class `[...,G]` of each variable by the inverse CDF of `probs` `[...,G,C]` at `uniform` `[...,G]` in [0, 1).

    With it goes a factor `[...,G]` that is 1 where the probabilities are finite numbers and NaN where they are not.
    """
    cdf = probs.cumsum(dim=-1).contiguous()
    # The last entry is one up to rounding, so that a number just below one may lie beyond it.
    index = torch.searchsorted(cdf, uniform.unsqueeze(-1).contiguous(), right=True).squeeze(-1).clamp_max_(probs.shape[-1] - 1)
    return index, certain(cdf[..., -1])


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(ctx: Any, logits: Tensor, uniform: Tensor, forced: Tensor | None, unimix: float) -> Tensor:
        soft = torch.softmax(logits.float(), dim=-1)
        ctx.save_for_backward(soft)
        ctx.unimix, ctx.dtype = unimix, logits.dtype
        if forced is not None:
            return forced.to(soft.dtype, copy=True)
        index, factor = draw_index(soft * (1 - unimix) + unimix / soft.shape[-1], uniform)
        return torch.zeros_like(soft).scatter_(-1, index.unsqueeze(-1), factor.unsqueeze(-1))

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (soft,) = ctx.saved_tensors
        unimix, dtype = ctx.unimix, ctx.dtype
        inner = torch.ops.aten._softmax_backward_data(grad.float(), soft, -1, torch.float32)
        return inner.mul_(1 - unimix).to(dtype), None, None, None


def straight_through(logits: Tensor, uniform: Tensor, unimix: float, forced: Tensor | None = None) -> Tensor:
    """A one-hot draw `[...,G,C]` in float32 whose gradient is that of the mixed probabilities. NaN where a logit is no finite number.

    Args:
        logits: Raw logits `[...,G,C]`.
        uniform: Numbers in [0, 1), `[...,G]`.
        unimix: Share of the uniform distribution.
        forced: Values `[...,G,C]` to use instead of a draw (teacher forcing); the gradient is the same.
    """
    return _StraightThrough.apply(logits, uniform, forced, unimix)
