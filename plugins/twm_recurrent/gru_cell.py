"""The gates of a GRU as one differentiable function (Cho et al., 2014, in the variant that torch.nn.GRU computes).

With input part gi and hidden part gh, three slices each:

    r = sigmoid(gi_r + gh_r)    u = sigmoid(gi_u + gh_u)    n = tanh(gi_n + r gh_n)    h' = (1 - u) n + u h

The backward pass is written out: inside a loop over time it would otherwise be some thirty small operations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _GRUGates(torch.autograd.Function):
    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(ctx: Any, from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
        width = hidden.shape[-1]
        gi, gh = from_input.float(), from_hidden.float()
        gates = (gi[..., : 2 * width] + gh[..., : 2 * width]).sigmoid_()
        reset, update = gates.chunk(2, dim=-1)
        # tanh(x) = 2 sigmoid(2x) - 1, because tanh takes six times as long as sigmoid on the CPU.
        new = torch.addcmul(gi[..., 2 * width :], reset, gh[..., 2 * width :]).mul_(2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(reset, update, new, gh[..., 2 * width :], hidden)
        ctx.dtypes = (from_input.dtype, from_hidden.dtype)
        return torch.lerp(new, hidden, update)

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        reset, update, new, hidden_new, hidden = ctx.saved_tensors
        to_hidden = grad * update
        to_update = torch.ops.aten.sigmoid_backward((hidden - new) * grad, update)
        to_new = torch.ops.aten.tanh_backward(grad - to_hidden, new)
        to_reset = torch.ops.aten.sigmoid_backward(to_new * hidden_new, reset)
        gi_type, gh_type = ctx.dtypes
        gi = torch.cat((to_reset, to_update, to_new), dim=-1)
        gh = torch.cat((to_reset, to_update, to_new * reset), dim=-1)
        return gi.to(gi_type), gh.to(gh_type), to_hidden


def gru_gates(from_input: Tensor, from_hidden: Tensor, hidden: Tensor) -> Tensor:
    """The next hidden state `[R,H]`, float32.

    Args:
        from_input: W_i x + b_i, `[R,3H]` in the order reset, update, new.
        from_hidden: W_h h + b_h, `[R,3H]`.
        hidden: h, `[R,H]`, float32.
    """
    return _GRUGates.apply(from_input, from_hidden, hidden)
