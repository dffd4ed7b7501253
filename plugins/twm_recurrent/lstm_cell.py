"""The gates of an LSTM as one differentiable function (Hochreiter and Schmidhuber, 1997, with forget gate, as torch.nn.LSTM computes).

With the sum g of input part and hidden part, four slices:

    i = sigmoid(g_i)    f = sigmoid(g_f)    n = tanh(g_n)    o = sigmoid(g_o)    c' = f c + i n    h' = o tanh(c')

The backward pass is written out, as for the GRU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _LSTMGates(torch.autograd.Function):
    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(ctx: Any, from_input: Tensor, from_hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        width = cell.shape[-1]
        gates = from_input.float() + from_hidden.float()
        # tanh(x) = 2 sigmoid(2x) - 1, because tanh takes six times as long as sigmoid on the CPU; then all gates are one call.
        gates[..., 2 * width : 3 * width].mul_(2)
        gates.sigmoid_()
        gates[..., 2 * width : 3 * width].mul_(2).sub_(1)
        enter, forget, new, leave = gates.chunk(4, dim=-1)
        after = torch.addcmul(forget * cell, enter, new)
        bounded = after.mul(2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(gates, cell, bounded)
        ctx.dtypes = (from_input.dtype, from_hidden.dtype)
        return leave * bounded, after

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad_hidden: Tensor, grad_cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gates, cell, bounded = ctx.saved_tensors
        enter, forget, new, leave = gates.chunk(4, dim=-1)
        to_cell = grad_cell + torch.ops.aten.tanh_backward(grad_hidden * leave, bounded)
        backward = torch.ops.aten.sigmoid_backward
        parts = (
            backward(to_cell * new, enter),
            backward(to_cell * cell, forget),
            torch.ops.aten.tanh_backward(to_cell * enter, new),
            backward(grad_hidden * bounded, leave),
        )
        both = torch.cat(parts, dim=-1)
        gi_type, gh_type = ctx.dtypes
        return both.to(gi_type), both.to(gh_type), to_cell * forget


def lstm_gates(from_input: Tensor, from_hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The next hidden state and cell, `[R,H]` each, float32.

    Args:
        from_input: W_i x + b_i, `[R,4H]` in the order input, forget, new, output.
        from_hidden: W_h h + b_h, `[R,4H]`.
        cell: c, `[R,H]`, float32.
    """
    return _LSTMGates.apply(from_input, from_hidden, cell)
