"""The gate arithmetic of both recurrent cores, one function with a hand-written backward pass.

    reset, candidate, update = split(gates)
    deter' = u * tanh(sigmoid(reset) * candidate) + (1 - u) * deter,   u = sigmoid(update - 1)

`[...,3n]` and `[...,n]` to `[...,n]`, always in float32. The candidate is gated after its matrix product, and the shift by -1 makes a
new network keep most of its state (Hafner et al., "Learning latent dynamics for planning from pixels" and later work).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _Gates(torch.autograd.Function):
    """Autograd would build full-size zeros for each of the three slices; here they are written into one tensor."""

    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(ctx: Any, gates: Tensor, deter: Tensor) -> Tensor:
        reset, candidate, update = gates.float().chunk(3, dim=-1)
        reset = reset.sigmoid()
        update = (update - 1).sigmoid_()
        # tanh(x) = 2 sigmoid(2x) - 1, because tanh takes six times as long as sigmoid on the CPU.
        value = (reset * candidate).mul_(2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(reset, candidate, update, value, deter)
        ctx.dtype = gates.dtype
        return torch.lerp(deter, value, update)

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        reset, candidate, update, value, deter = ctx.saved_tensors
        to_value = grad * update
        out = torch.empty((*reset.shape[:-1], 3 * reset.shape[-1]), dtype=torch.float32, device=grad.device)
        to_reset, to_candidate, to_update = out.chunk(3, dim=-1)
        # d sigmoid and d tanh are written through the saved outputs.
        torch.mul(value - deter, grad, out=to_update)
        to_update.copy_(torch.ops.aten.sigmoid_backward(to_update, update))
        inner = torch.ops.aten.tanh_backward(to_value, value)
        torch.mul(inner, reset, out=to_candidate)
        to_reset.copy_(torch.ops.aten.sigmoid_backward(inner.mul_(candidate), reset))
        return out.to(ctx.dtype), grad - to_value


def gated(gates: Tensor, deter: Tensor) -> Tensor:
    """The next state `[...,n]` from gate pre-activations `[...,3n]` (reset, candidate, update) and the state `[...,n]`, float32."""
    return _Gates.apply(gates, deter)
