"""Means and moments over what exists. A mean over nothing is 0, not NaN, and has a zero gradient."""

from __future__ import annotations

from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` is true.

    Args:
        values: `[...]` or `[..., F]`; may hold anything where the mask is false as long as it is finite.
        mask: bool `[...]`.
    """
    weight = mask.to(values.dtype)
    if values.dim() == mask.dim() + 1:
        return (values.mean(dim=-1) * weight).sum() / weight.sum().clamp_min(1)
    return (values * weight).sum() / weight.sum().clamp_min(1)
