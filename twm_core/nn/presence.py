"""Who is observed, who has been seen, and whose state starts anew: everything about masks, for a whole sequence before the scan."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from twm_core.errors import UsageError


class Presence(NamedTuple):
    """Masks `[B,T]` or `[B,T,A]`, all bool.

    Attributes:
        present: There at this step.
        corrected: There, and its observation is not withheld: the state is corrected with it.
        before: There at the step before, with no reset in between.
        has_started: Corrected at this step or before it, since the last reset.
        keep: The state of the step before is used (it was seen, with no reset in between).
    """

    present: Tensor
    corrected: Tensor
    before: Tensor
    has_started: Tensor
    keep: Tensor


def presence(
    first: Tensor, exists: Tensor | None, started_before: Tensor, present_before: Tensor, withheld: Tensor | None = None
) -> Presence:
    """Masks of a sequence.

    Args:
        first: Resets, `[B,T]` or `[B,T,A]`.
        exists: Which agents are there, `[B,T,A]`; None means always.
        started_before: Whether the state carried in has seen anything, `[B]` or `[B,A]`.
        present_before: Whether it was there at the step before, `[B]` or `[B,A]`.
        withheld: Observations kept from the state, `[B,T]` or as `first`; None withholds nothing.

    Raises:
        UsageError: Single agents' observations are withheld from a state that belongs to the whole scene.
    """
    if withheld is not None and withheld.dim() > first.dim():
        shape = tuple(withheld.shape)
        raise UsageError(f"withheld has shape {shape}, but there is one state for the scene", "withhold whole steps, with a mask [B,T]")
    everywhere = torch.ones_like(first)
    present = everywhere if exists is None else exists
    before = ~first & _shift(present, present_before)
    if exists is None and withheld is None:
        return Presence(everywhere, everywhere, before, everywhere, ~first)
    corrected = present
    if withheld is not None:
        corrected = present & ~withheld.reshape(*withheld.shape, *(1,) * (first.dim() - withheld.dim()))
    steps = torch.arange(first.shape[1], device=first.device).view(1, -1, *(1 for _ in first.shape[2:]))
    last_reset = torch.where(first, steps, -1).cummax(dim=1).values
    last_corrected = torch.where(corrected, steps, -1).cummax(dim=1).values
    has_started = ((last_corrected >= 0) & (last_corrected >= last_reset)) | ((last_reset < 0) & started_before.unsqueeze(1))
    return Presence(present, corrected, before, has_started, ~first & _shift(has_started, started_before))


def _shift(x: Tensor, start: Tensor) -> Tensor:
    """One step later along time, with `start` in front."""
    return torch.cat((start.unsqueeze(1), x[:, :-1]), dim=1)
