"""Who is observed, who has been seen, and whose state starts anew: everything about masks, for a whole sequence before the scan."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Presence(NamedTuple):
    """Masks `[B,T]` or `[B,T,A]`, all bool.

    Attributes:
        present: Observed at this step.
        before: Observed at the step before, with no reset in between.
        seen: Observed at this step or before it, since the last reset.
        keep: The state of the step before is used (it was seen, with no reset in between).
    """

    present: Tensor
    before: Tensor
    seen: Tensor
    keep: Tensor


def presence(first: Tensor, exists: Tensor | None, seen_before: Tensor, present_before: Tensor) -> Presence:
    """Masks of a sequence.

    Args:
        first: Resets, `[B,T]` or `[B,T,A]`.
        exists: Which agents are observed, `[B,T,A]`; None means always.
        seen_before: Whether the state carried in has seen anything, `[B]` or `[B,A]`.
        present_before: Whether it was observed at the step before, `[B]` or `[B,A]`.
    """
    if exists is None:
        everywhere = torch.ones_like(first)
        return Presence(everywhere, ~first & _shift(everywhere, present_before), everywhere, ~first)
    steps = torch.arange(first.shape[1], device=first.device).view(1, -1, *(1 for _ in first.shape[2:]))
    last_reset = torch.where(first, steps, -1).cummax(dim=1).values
    last_seen = torch.where(exists, steps, -1).cummax(dim=1).values
    seen = ((last_seen >= 0) & (last_seen >= last_reset)) | ((last_reset < 0) & seen_before.unsqueeze(1))
    return Presence(exists, ~first & _shift(exists, present_before), seen, ~first & _shift(seen, seen_before))


def _shift(x: Tensor, start: Tensor) -> Tensor:
    """One step later along time, with `start` in front."""
    return torch.cat((start.unsqueeze(1), x[:, :-1]), dim=1)
