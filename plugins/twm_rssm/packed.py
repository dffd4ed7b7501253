"""A weight laid out once for many thin matrix products on the CPU.

A product of a few rows with a large matrix spends most of its time on rearranging the matrix for the processor's vector units, again in
every call. oneDNN can keep the rearranged copy. torch offers that through the operators its own compiler uses for frozen weights; they
are not a public interface, so `can_pack` tries them once against a plain product, and everything works without them.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

SMALLEST = 1 << 16
"""Weights with fewer entries gain nothing: they stay in the cache as they are."""


@cache
def can_pack() -> bool:
    """Whether the operators are there and right."""
    if not torch.backends.mkldnn.is_available():
        return False
    weight, x = torch.arange(12.0).view(3, 4), torch.arange(8.0).view(2, 4)
    try:
        found = Packed(weight).times(x, torch.ones(3))
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):  # another release of torch: plain products are used
        return False
    return torch.allclose(found, x @ weight.t() + 1)


def packs(weight: Tensor) -> bool:
    """Whether it is worth packing this weight: large, float32, on the CPU, and the operators are there."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.numel() >= SMALLEST and can_pack()


class Packed:
    """A weight `[out,in]` for products with rows, in both directions; it must not change meanwhile.

    Args:
        weight: Float32, on the CPU.
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight
        self._there: Tensor | None = None
        self._back: Tensor | None = None

    def times(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """`x` `[R,in]` to x W^T + bias, `[R,out]`; the bias is `[out]`."""
        if self._there is None:
            self._there = _reordered(self._weight.contiguous(), len(x))
        return torch.ops.mkldnn._linear_pointwise(x, self._there, bias, "none", [], "")

    def back(self, grad: Tensor) -> Tensor:
        """`grad` `[R,out]` to grad W, `[R,in]`."""
        if self._back is None:
            self._back = _reordered(self._weight.t().contiguous(), len(grad))
        return torch.ops.mkldnn._linear_pointwise(grad, self._back, None, "none", [], "")


def _reordered(weight: Tensor, rows: int) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows)
