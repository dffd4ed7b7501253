"""Means and moments over what exists, and rows of what exists. A mean over nothing is 0, not NaN, and has a zero gradient."""

from __future__ import annotations

import torch
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


def packs_rows(mask: Tensor) -> bool:
    """Whether to compute only the rows where a mask is true: on a CPU, where arithmetic is dear.

    Elsewhere the number of such rows would have to be read back from the device first, which costs more than a few empty rows.
    """
    return mask.device.type == "cpu"


def unpack_rows(rows: Tensor, mask: Tensor) -> Tensor:
    """Rows back in their places, zeros where the mask is false.

    Args:
        rows: Those where the mask is true `[R,...]` if `packs_rows(mask)`, else all of them `[M,...]`.
        mask: bool, `M` entries in any shape.

    Returns:
        `[*mask,...]`.
    """
    shape = (*mask.shape, *rows.shape[1:])
    where = mask.reshape(*mask.shape, *(1,) * (rows.dim() - 1))
    if packs_rows(mask):
        return rows.new_zeros(shape).masked_scatter(where, rows)
    return torch.where(where, rows.reshape(shape), 0)
