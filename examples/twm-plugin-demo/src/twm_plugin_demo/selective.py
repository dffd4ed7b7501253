"""The selective recurrence of a layer as one differentiable function: what its memories hold after every step, and what is read off them.

With step sizes d_t, B_t and C_t chosen by the input (`beta`, `gamma`), memories n = 1 .. N and channels e = 1 .. E,

    decay_t, gain_t = zero_order_hold(d_t, rate)            h_t = keep_t decay_t h_{t-1} + gain_t B_t u_t           y_t = sum_n C_t h_t

Let g_t be the gradient of h_t with everything that follows from it. It obeys the recurrence backwards,

    g_t = C_t dy_t + dh_t + keep_{t+1} decay_{t+1} g_{t+1}

and with q_t = decay_t (g_t B_t u_t - rate keep_t g_t h_{t-1}) the others follow, because d gain / d step = decay and
d gain / d rate = (step decay - gain) / rate:

    d step_t = sum_n q_t        d rate = sum_t (q_t step_t - g_t gain_t B_t u_t) / rate        d (B_t u_t) = g_t gain_t

Of everything with N x E numbers per step only h is kept, which the state needs anyway. Factors are made again for the gradient, and on a
CPU a few rows at a time, so that they stay in the cache (the paper's kernel does the same on its device); that is why the gradient is
written out and not left to autograd. Differentiable once. Time-major, `[T,R,...]`, rows R independent; no parameters here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from twm_plugin_demo.discretise import zero_order_hold
from twm_plugin_demo.scan import scan_

BLOCK = 2**18
"""Numbers in the factors of one block of rows on a CPU: 1 MiB of float32."""


def selective_scan(
    u: Tensor, step: Tensor, rate: Tensor, beta: Tensor, gamma: Tensor, keep: Tensor | None, start: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the memories of all rows through a sequence.

    Args:
        u: Inputs, `[T,R,E]`.
        step: Step sizes above 0, `[T,R,E]`.
        rate: Rates above 0, `[N,E]`.
        beta: B, `[T,R,N]`.
        gamma: C, `[T,R,N]`.
        keep: 1 where the step before counts, 0 where a row starts anew, `[T,R,1]`; None keeps everything. Carries no gradient.
        start: h before the first step, `[R,N,E]`.

    Returns:
        y `[T,R,E]` and h `[T,R,N,E]`.
    """
    with torch.autocast(u.device.type, enabled=False):  # sums over many steps: not in half precision
        return _SelectiveScan.apply(u, step, rate, beta, gamma, keep, start)


def _blocks(shape: torch.Size, states: int, device: torch.device) -> Iterator[slice]:
    """Rows to be worked on together, for inputs of shape `[T,R,E]`."""
    steps, rows, channels = shape
    size = max(1, BLOCK // (steps * states * channels)) if device.type == "cpu" else rows
    return (slice(low, low + size) for low in range(0, rows, size))


def _factors(step: Tensor, rate: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """decay, gain, and decay where it is kept, `[T,R,N,E]`."""
    decay, gain = zero_order_hold(step, rate)
    return decay, gain, decay if keep is None else decay * keep.unsqueeze(-1)


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def forward(
        ctx: Any, u: Tensor, step: Tensor, rate: Tensor, beta: Tensor, gamma: Tensor, keep: Tensor | None, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        hidden = u.new_empty((*u.shape[:2], *rate.shape))
        read = torch.empty_like(u)
        for r in _blocks(u.shape, len(rate), u.device):
            _, gain, kept = _factors(step[:, r], rate, None if keep is None else keep[:, r])
            h = gain.mul_(beta[:, r].unsqueeze(-1) * u[:, r].unsqueeze(-2))
            h[0].addcmul_(kept[0], start[r])
            scan_(kept, h)
            read[:, r] = (gamma[:, r].unsqueeze(-2) @ h).squeeze(-2)
            hidden[:, r] = h
        ctx.save_for_backward(u, step, rate, beta, gamma, keep, start, hidden)
        ctx.set_materialize_grads(False)
        return read, hidden

    @staticmethod
    @once_differentiable
    # pyrefly: ignore[bad-override]  # the base takes any arguments; naming them is what torch documents
    def backward(ctx: Any, to_read: Tensor | None, to_hidden: Tensor | None) -> tuple[Tensor | None, ...]:
        u, step, rate, beta, gamma, keep, start, hidden = ctx.saved_tensors
        if to_read is None:
            to_read = torch.zeros_like(u)
        to_u, to_step, to_rate = torch.empty_like(u), torch.empty_like(step), torch.zeros_like(rate)
        to_beta, to_gamma, to_start = torch.empty_like(beta), torch.empty_like(gamma), torch.empty_like(start)
        for r in _blocks(u.shape, len(rate), u.device):
            decay, gain, kept = _factors(step[:, r], rate, None if keep is None else keep[:, r])
            h, dy = hidden[:, r], to_read[:, r]
            to_gamma[:, r] = (h @ dy.unsqueeze(-1)).squeeze(-1)
            g = gamma[:, r].unsqueeze(-1) * dy.unsqueeze(-2)
            if to_hidden is not None:
                g += to_hidden[:, r]
            scan_(kept, g, backwards=True)
            from_before = kept * g  # the gradient of the memory before
            to_start[r] = from_before[0]
            added = beta[:, r].unsqueeze(-1) * u[:, r].unsqueeze(-2)
            q = decay.mul_(added).mul_(g)
            q[1:].addcmul_(from_before[1:] * h[:-1], rate, value=-1)
            q[0].addcmul_(from_before[0] * start[r], rate, value=-1)
            to_step[:, r] = q.sum(dim=-2)
            to_added = gain.mul_(g)
            to_u[:, r] = (beta[:, r].unsqueeze(-2) @ to_added).squeeze(-2)
            to_beta[:, r] = (to_added @ u[:, r].unsqueeze(-1)).squeeze(-1)
            to_rate += (q.mul_(step[:, r].unsqueeze(-2)) - to_added.mul_(added)).sum(dim=(0, 1))
        return to_u, to_step, to_rate / rate, to_beta, to_gamma, None, to_start
