"""How far rounding alone takes two computations of one number apart: every tolerance of the kit comes from here.

A floating-point operation is off by at most half of `eps(dtype)`, relative to what it works on. Errors of `n` operations in a row are as
often up as down, so that together they are off by about `eps * sqrt(n)`. Which of them round up depends on the order of the sums, and so
on the processor, on the kernel that torch picks for it, on the shapes of the tensors and on the number of threads. `SAFETY` covers what
is not random about it, and sizes within a network that are larger than those of its results.

A fault of a component is larger by far: what reads one number too many is off by about the size of that number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

SAFETY = 8
"""A test holds that sums in any order use a quarter of what this allows, in every type."""

TF32 = 2.0**-10
"""The `eps` of the format to which a GPU rounds what it multiplies: sums and results are float32."""


def rounding(dtype: torch.dtype, summands: int = 1) -> float:
    """What rounding may do to a number that `summands` numbers of this type go into, relative to its size; whole numbers stay."""
    if not dtype.is_floating_point:
        return 0.0
    return _allowed(torch.finfo(dtype).eps, summands)


def rounding_of_products(layers: int, eps: float = TF32) -> float:
    """What it may do where only the operands of products are rounded to `eps`, once in each layer, and sums are taken in float32."""
    return _allowed(eps, layers)


def _allowed(eps: float, summands: int) -> float:
    return SAFETY * eps * math.sqrt(max(1, summands))


def parameters(instance: object) -> list[Tensor]:
    """The parameters of a network; none of anything else."""
    return list(instance.parameters()) if isinstance(instance, nn.Module) else []


def numbers(tensors: Iterable[Tensor]) -> int:
    """How many floating-point numbers these tensors hold."""
    return sum(t.numel() for t in tensors if t.is_floating_point())
