"""Symmetric logarithm: tames values of unknown scale on both sides of zero and is almost the identity near it.

    symlog(x) = sign(x) ln(1 + |x|)        symexp(y) = sign(y) (exp(|y|) - 1) = symlog^-1(y)

Webber, "A bi-symmetric log transformation for wide-range data", 2012; used by Hafner et al., "Mastering diverse domains through world
models", 2023. Any shape to the same shape.
"""

from __future__ import annotations

from torch import Tensor


def symlog(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|)."""
    return x.sign() * x.abs().log1p()


def symexp(y: Tensor) -> Tensor:
    """sign(y) (exp(|y|) - 1)."""
    return y.sign() * y.abs().expm1()
