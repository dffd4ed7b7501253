"""Windows of made-up traffic, for what learns from windows: a few, whole, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from twm_core.data.dataset import Batch, Windows
from twm_core.specs import ObservationSpec
from twm_core.testing.batches import BATCH, Presence, synthetic


class SyntheticWindows(Windows):
    """Windows of `twm_core.testing.batches.synthetic`, `BATCH` for each of some seeds.

    Args:
        obs_spec: Spec of the batches.
        seeds: A seed for every `BATCH` windows.
        pattern: Who is there.
    """

    def __init__(self, obs_spec: ObservationSpec, *, seeds: Sequence[int] = (101, 102), pattern: Presence = "ragged") -> None:
        parts = [synthetic(obs_spec, seed=s, pattern=pattern).values for s in seeds]
        self._all = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
        self._count = BATCH * len(seeds)

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: Sequence[int]) -> Batch:
        index = torch.as_tensor(list(indices), dtype=torch.long)
        return {k: v[index] for k, v in self._all.items()}

    def report(self) -> dict[str, int]:
        return {"windows": self._count}
