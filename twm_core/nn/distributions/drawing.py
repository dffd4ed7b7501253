"""Drawing one of several classes so that a probability that is not a number is not taken for the first class.

Comparisons with NaN are false and an index is always a number, so a draw would hide that a model has diverged. Here the factor `certain`
goes with an index: it is exactly 1 where the probabilities are finite and NaN where they are not. What an index picks is multiplied by it.
Nothing has to wait for the device, and nothing branches on values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.errors import DataError


def draw_class(probs: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """A class of each variable by the inverse CDF, from one uniform number each; without gradient.

    A class of probability 0 is not drawn.

    Args:
        probs: `[...,C]`, adding up to 1 but for rounding.
        generator: Source of the uniform numbers.

    Returns:
        The index `[...]`, and `certain` `[...]`.
    """
    cdf = probs.detach().cumsum(dim=-1)
    last = cdf[..., -1:]
    uniform = torch.rand(cdf.shape[:-1], generator=generator, device=cdf.device, dtype=cdf.dtype).unsqueeze(-1)
    index = (cdf <= uniform * last).sum(dim=-1).clamp_max(cdf.shape[-1] - 1)
    return index, certain(last.squeeze(-1))


def likeliest(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The most probable class of each variable, from probabilities or logits `[...,C]`; without gradient.

    Returns:
        The index `[...]`, and `certain` `[...]`.
    """
    most, index = weights.detach().max(dim=-1)
    return index, certain(most)


def certain(values: Tensor) -> Tensor:
    """1 where a value is a finite number, NaN where it is not."""
    return 1 + 0 * values


def require_finite(factor: Tensor, what: str) -> None:
    """Refuse classes that are drawn from what is no number, where the class itself cannot say so.

    Args:
        factor: What `certain` gave.
        what: What the classes are, for the message.

    Raises:
        DataError: A factor is NaN.
    """
    if factor.is_meta or torch.compiler.is_compiling():
        return  # there is no value to look at
    if bool(factor.isnan().any()):
        raise DataError(
            f"the logits of {what} are not finite numbers", "it has diverged: use an earlier checkpoint, or train with a lower training.lr"
        )
