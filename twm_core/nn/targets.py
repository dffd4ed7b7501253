"""What decoded keys are compared with: the key of the same name in the batch, or what is derived from one.

`continue` is derived: 1 where the episode goes on after this step, 0 where it has come to a terminal state. An episode that was merely
cut (`is_last` without `is_terminal`) goes on.
"""

from __future__ import annotations

from torch import Tensor

from twm_core.data.dataset import Batch

CONTINUE = "continue"
DERIVED = {CONTINUE: "is_terminal"}
"""Decoded keys that are derived, and the batch key that each is derived from."""


def target(batch: Batch, key: str) -> Tensor:
    """The true value of a decoded key, for every step of the batch."""
    if key == CONTINUE:
        return (~batch[DERIVED[key]]).float()
    return batch[key]
