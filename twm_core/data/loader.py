"""Which windows make up training batch `k`: a pure function of seed and `k`, so that resuming needs nothing but the step.

The windows of an epoch are a permutation drawn from (seed, epoch); batches are cut from the endless row of epochs, so every window
comes up once in each epoch even where the batch size does not divide their number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from twm_core.data.dataset import Batch, Windows


class TrainingBatches:
    """Batches of `windows` in shuffled order.

    Args:
        windows: The training windows.
        batch: Windows in a batch.
        seed: Seed of the order and of the augmentation.
        augment: Changes a batch by draws from a generator, as `Dataset.augment`; None leaves it alone.
    """

    def __init__(
        self, windows: Windows, *, batch: int, seed: int, augment: Callable[[Batch, torch.Generator], Batch] | None = None
    ) -> None:
        self.windows = windows
        self.size = batch
        self.seed = seed
        self.augment = augment
        self._epoch = -1
        self._order: list[int] = []

    def indices(self, k: int) -> list[int]:
        """The windows of batch `k`, counted from 0."""
        return [self._at(k * self.size + i) for i in range(self.size)]

    def __getitem__(self, k: int) -> Batch:
        batch = self.windows.batch(self.indices(k))
        if self.augment is None:
            return batch
        return self.augment(batch, torch.Generator().manual_seed((self.seed * 1_000_003 + k * 7_919 + 2) % 2**63))

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, len(self.windows))
        if epoch != self._epoch:
            # Mixing by a large odd factor keeps (seed, epoch) pairs apart without a shared stream.
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch * 7_919 + 1) % 2**63)
            self._order = torch.randperm(len(self.windows), generator=generator).tolist()
            self._epoch = epoch
        return self._order[place]


def evenly_spaced(windows: Windows, most: int | None) -> list[int]:
    """At most `most` window numbers, evenly spaced over all of them."""
    count = len(windows)
    if most is None or most >= count:
        return list(range(count))
    return [i * count // most for i in range(most)]
