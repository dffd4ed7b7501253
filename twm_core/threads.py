"""CPU threads of torch: how many a recipe takes where it does not say.

Sums of floating-point numbers depend on how they are divided among threads, so the default follows from the size of the model alone, never
from the machine: the same recipe gives the same bits. Small matrices gain little from a second thread, and threads that wait for one
another use the processor while other programs need it. `benchmarks/threads.py` measures both for every preset.
"""

from __future__ import annotations

import torch

LARGE = 500_000
"""Parameters from which on a second thread shortens a training step by a fifth or more."""


def default_threads(parameters: int) -> int:
    """Threads for a model with so many parameters: 1, or 2 for a large model."""
    return 2 if parameters >= LARGE else 1


def use_threads(wanted: int, parameters: int) -> int:
    """Set the number of threads of this process.

    Args:
        wanted: `training.threads` of the recipe; 0 takes the default.
        parameters: Size of the model, 0 without one.

    Returns:
        The number that was set.
    """
    count = wanted or default_threads(parameters)
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return count
