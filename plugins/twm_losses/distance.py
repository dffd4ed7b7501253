"""Huber on a distance: errors `[...,D]` in metres become one cost `[...]`, the same in every direction.

    d = sqrt(|error|^2 + 1e-6)        cost = d^2 / (2 beta) for d < beta, d - beta / 2 beyond

The square root of a sum has no gradient at 0, hence the millimetre inside it. Huber, "Robust estimation of a location parameter", 1964.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def huber_distance(error: Tensor, beta: float) -> Tensor:
    """Cost `[...]` of errors `[...,D]`, which must be finite; `beta` in metres."""
    distance = (error.square().sum(dim=-1) + 1e-6).sqrt()
    return huber(distance, beta)


def huber(size: Tensor, beta: float) -> Tensor:
    """Cost of sizes of errors, entry by entry."""
    return F.smooth_l1_loss(size, torch.zeros_like(size), reduction="none", beta=beta)
