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
        keep = ~first & _shift(everywhere, seen_before)
        return Presence(everywhere, ~first & _shift(everywhere, present_before), everywhere, keep)
    steps = torch.arange(first.shape[1], device=first.device).view(1, -1, *(1 for _ in first.shape[2:]))
    last_reset = torch.where(first, steps, -1).cummax(dim=1).values
    last_seen = torch.where(exists, steps, -1).cummax(dim=1).values
    seen = ((last_seen >= 0) & (last_seen >= last_reset)) | ((last_reset < 0) & seen_before.unsqueeze(1))
    return Presence(exists, ~first & _shift(exists, present_before), seen, ~first & _shift(seen, seen_before))


def absent_rows(known: Presence, exists: Tensor | None) -> list[Tensor | None]:
    """For each step, the rows (of `B*A`) of agents that were seen and are absent; None where there are none.

    Reads the counts back from the device once for the whole sequence, so that the scan works on these rows alone.
    """
    steps = known.seen.shape[1]
    if exists is None:
        return [None] * steps
    gone = (known.seen & ~exists).transpose(0, 1).flatten(1)  # T R
    counts: list[int] = gone.sum(dim=1).tolist()
    rows = gone.nonzero()[:, 1].split(counts)
    return [r if n else None for r, n in zip(rows, counts, strict=True)]


def _shift(x: Tensor, start: Tensor) -> Tensor:
    """One step later along time, with `start` in front."""
    return torch.cat((start.unsqueeze(1), x[:, :-1]), dim=1)
