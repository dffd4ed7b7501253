"""The linear recurrence h_t = a_t h_{t-1} + b_t over a whole sequence, element by element, forwards or backwards, in two orders of work.

* In series: one fused multiply-add per step, the least work.
* In parallel: two neighbouring steps are one step, since (a, b) followed by (a', b') is (a' a, a' b + b'). Joining pairs halves the
  sequence; every second result comes from the half, the others from their neighbours. About three times the work, in 2 log2(T) rounds
  (Blelloch, "Prefix sums and their applications", 1990).

Neither divides or takes a logarithm: a_t = 0 is an exact reset, and nothing overflows where |a| <= 1. A CPU is bound by the work where a
slice (what one step holds) is long, and by the number of calls where it is short, as an accelerator always is; `benchmarks/scan.py`
measures both.

Sequences are time-major, `[T,...]`. Nothing here knows what a and b mean, and nothing carries a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

SERIAL_FROM = 4096
"""Elements of a slice from which on a CPU works in series."""


def scan_(a: Tensor, h: Tensor, *, backwards: bool = False) -> None:
    """Turn additions into results, in place, in the order that suits device and sizes.

    Args:
        a: Factors, `[T,...]`; the one of the first step is not used, because nothing stands before it.
        h: Additions b at first, results at last, `[T,...]`.
        backwards: From the last step to the first, with h_t = a_{t+1} h_{t+1} + b_t: the recurrence that gradients obey.
    """
    serial = a.device.type == "cpu" and a[0].numel() >= SERIAL_FROM
    (in_series_ if serial else in_parallel_)(a, h, backwards=backwards)


def in_series_(a: Tensor, h: Tensor, *, backwards: bool = False) -> None:
    """As `scan_`, one step after another."""
    factors, steps = a.unbind(0), h.unbind(0)
    if backwards:
        for t in range(len(steps) - 2, -1, -1):
            steps[t].addcmul_(factors[t + 1], steps[t + 1])
    else:
        for t in range(1, len(steps)):
            steps[t].addcmul_(factors[t], steps[t - 1])


def in_parallel_(a: Tensor, h: Tensor, *, backwards: bool = False) -> None:
    """As `scan_`, by joining pairs of steps."""
    if backwards:
        turned = h.flip(0)
        in_parallel_(torch.cat((a[:1], a[1:].flip(0))), turned)
        h.copy_(turned.flip(0))
        return
    steps = len(h)
    if steps == 1:
        return
    first, second = slice(0, steps - 1, 2), slice(1, steps, 2)
    half = torch.addcmul(h[second], a[second], h[first])  # [T/2,...], for steps 1, 3, ...
    in_parallel_(a[second] * a[first], half)
    h[second] = half
    h[2::2].addcmul_(a[2::2], half[: (steps - 1) // 2])
