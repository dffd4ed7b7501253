"""Weights of a loop over time whose gradients are computed once, after the loop's backward pass, instead of once for every step.

In the backward pass of a recurrent network each step adds its share to the gradient of every weight: a thin matrix product and a pass
over memory of the size of the weight, T times. Here a step only passes the gradient on to its input and notes (x_t, g_t); when the last
of them is done, one product gives the whole sum:

    dW = sum_t g_t^T x_t = [g_1; ..; g_T]^T [x_1; ..; x_T]

The values are those of plain layers, and the gradients equal theirs up to rounding. Use:

    project = deferred_linear(layer.weight, layer.bias)      before the loop
    y = project(x)                                           in it

Under autocast the weight is cast once, not at every step; on the CPU a large weight is also packed once (`packed.py`). Gradients of
gradients are not supported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from twm_rssm.packed import Packed, packs


class _Notes:
    """Inputs and output gradients of the steps whose backward pass has been done."""

    def __init__(self, *, blocks: bool, bias: bool) -> None:
        self.blocks, self.bias = blocks, bias
        self.inputs: list[Tensor] = []
        self.grads: list[Tensor] = []

    def sums(self) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of the weight and of the bias; the notes are empty afterwards, so that a second pass begins anew."""
        if not self.grads:
            return None, None
        rows = 1 if self.blocks else 0
        x = self.inputs[0] if len(self.inputs) == 1 else torch.cat(self.inputs, dim=rows)
        g = self.grads[0] if len(self.grads) == 1 else torch.cat(self.grads, dim=rows)
        self.inputs.clear()
        self.grads.clear()
        if self.blocks:
            return torch.bmm(x.transpose(1, 2), g), g.sum(1).flatten() if self.bias else None
        return g.t() @ x, g.sum(0) if self.bias else None


class _Anchor(torch.autograd.Function):
    """Ties a handle to weight and bias: autograd runs its backward pass after those of all steps that used the handle."""

    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(ctx: Any, weight: Tensor, bias: Tensor | None, notes: _Notes) -> Tensor:
        ctx.notes = notes
        ctx.types = (weight.dtype, None if bias is None else bias.dtype)
        ctx.set_materialize_grads(False)
        return weight.new_empty(())

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, Tensor | None, None]:
        found = [g if g is None else g.to(t) for g, t in zip(ctx.notes.sums(), ctx.types, strict=True)]
        return found[0], found[1], None


class _Weight:
    """A weight or block kernel as the products of the steps use it: detached, cast, and packed where that pays."""

    def __init__(self, value: Tensor, *, blocks: bool) -> None:
        self.value, self.blocks = value, blocks
        self.packed = Packed(value) if not blocks and packs(value) else None

    def times(self, x: Tensor, add: Tensor | None) -> Tensor:
        """x W^T + add, or block by block x_b W_b + add_b."""
        if self.blocks:
            return torch.bmm(x, self.value) if add is None else torch.baddbmm(add, x, self.value)
        if self.packed is None:
            return x @ self.value.t() if add is None else torch.addmm(add, x, self.value.t())
        if add is None or add.dim() == 1:
            return self.packed.times(x, add)
        return self.packed.times(x).add_(add)

    def back(self, grad: Tensor) -> Tensor:
        """The gradient of x."""
        if self.blocks:
            return torch.bmm(grad, self.value.transpose(1, 2))
        return grad @ self.value if self.packed is None else self.packed.back(grad)


class _Step(torch.autograd.Function):
    """x to x W^T + add, or block by block to x_b W_b + add_b."""

    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(ctx: Any, x: Tensor, add: Tensor | None, handle: Tensor, weight: _Weight, notes: _Notes) -> Tensor:
        kind = weight.value.dtype
        ctx.kind, ctx.weight, ctx.notes = x.dtype, weight, notes
        x = x.to(kind)
        ctx.save_for_backward(x)
        ctx.add = None if add is None else (add.shape, add.dtype)
        return weight.times(x, None if add is None else add.to(kind))

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        (x,) = ctx.saved_tensors
        grad = grad.to(ctx.weight.value.dtype)
        ctx.notes.inputs.append(x)
        ctx.notes.grads.append(grad)
        into = ctx.weight.back(grad).to(ctx.kind) if ctx.needs_input_grad[0] else None
        added = None
        if ctx.add is not None and ctx.needs_input_grad[1]:
            added = grad.sum_to_size(ctx.add[0]).to(ctx.add[1])
        return into, added, None, None, None


Projection = Callable[..., Tensor]
"""`project(x)` or `project(x, add)`: x W^T + bias, or x W^T + add, where `add` takes the place of the bias."""


def deferred_linear(weight: Tensor, bias: Tensor | None = None) -> Projection:
    """A linear layer for rows `[R,in]` whose weight `[out,in]` and bias `[out]` get their gradients after the loop.

    A projection called with `add` leaves its bias out; its bias must then be None.
    """
    return _bind(weight, bias, blocks=False)


def deferred_blocks(kernel: Tensor, bias: Tensor | None = None) -> Projection:
    """The same for a block layer: block-major `[blocks,R,in]` to `[blocks,R,out]` with kernel `[blocks,in,out]` and bias `[blocks*out]`."""
    return _bind(kernel, bias, blocks=True)


def _bind(weight: Tensor, bias: Tensor | None, *, blocks: bool) -> Projection:
    kind = torch.get_autocast_dtype(weight.device.type) if torch.is_autocast_enabled(weight.device.type) else weight.dtype
    used = _Weight(weight.detach().to(kind), blocks=blocks)
    offset = None if bias is None else bias.detach().to(kind)
    if offset is not None and blocks:
        offset = offset.view(weight.shape[0], 1, -1)
    if not torch.is_grad_enabled():

        def plain(x: Tensor, add: Tensor | None = None) -> Tensor:
            return used.times(x.to(kind), offset if add is None else add.to(kind))

        return plain
    notes = _Notes(blocks=blocks, bias=bias is not None)
    needed = weight.requires_grad or (bias is not None and bias.requires_grad)
    handle = _Anchor.apply(weight, bias, notes) if needed else used.value.new_empty(())

    def project(x: Tensor, add: Tensor | None = None) -> Tensor:
        return _Step.apply(x, offset if add is None else add, handle, used, notes)

    return project
