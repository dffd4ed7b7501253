"""Masks of a whole sequence, made before the loop over time: who has been seen, and whose state is kept."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Presence(NamedTuple):
    """Bool masks `[B,T]` or `[B,T,A]`.

    Attributes:
        seen: Observed at this step or before it, since the last reset.
        keep: The state of the step before is used: it was seen, with no reset in between.
    """

    seen: Tensor
    keep: Tensor


def presence(first: Tensor, exists: Tensor | None, seen_before: Tensor) -> Presence:
    """Masks from resets `first` `[B,T,(A)]`, from who exists `[B,T,A]` (None: always) and from who has been seen before `[B,(A)]`."""
    if exists is None:
        return Presence(torch.ones_like(first), ~first)
    time = torch.arange(first.shape[1], device=first.device).view(1, -1, *(1 for _ in first.shape[2:]))
    last_reset = torch.where(first, time, -1).cummax(dim=1).values
    last_seen = torch.where(exists, time, -1).cummax(dim=1).values
    seen = ((last_seen >= 0) & (last_seen >= last_reset)) | ((last_reset < 0) & seen_before.unsqueeze(1))
    return Presence(seen, ~first & torch.cat((seen_before.unsqueeze(1), seen[:, :-1]), dim=1))
