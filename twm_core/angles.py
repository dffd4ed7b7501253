"""Angles in radians: the one place that brings them to the range from -pi to pi."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def wrap(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """The angle in `[-pi, pi)`, (angle + pi) mod 2 pi - pi; NaN stays NaN."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def wrap_tensor(angle: Tensor) -> Tensor:
    """The angle in `[-pi, pi]`, atan2(sin, cos); NaN stays NaN.

    In float32 this keeps the relative precision of small angles, which adding and subtracting pi would lose, and its gradient is 1 wherever
    it is defined.
    """
    return angle.sin().atan2(angle.cos())
