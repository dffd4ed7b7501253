"""The dataset interface: named splits of windows, each of which turns indices into a batch of tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from twm_core.specs import ActionSpec, ObservationSpec

Batch = dict[str, Tensor]
"""A flat mapping from key to tensor; the keys and their meaning stand in the `ObservationSpec`."""

SPLITS = ("train", "val", "test")


class Windows(ABC):
    """A fixed, ordered list of windows. Reading one is deterministic and has no side effect."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of windows."""

    @abstractmethod
    def batch(self, indices: Sequence[int]) -> Batch:
        """The windows `indices`, collated. The number of agents `A` is the largest among them, so it varies from batch to batch."""

    @abstractmethod
    def report(self) -> dict[str, int]:
        """Counts for the user: windows, scenarios, agents, and everything that was left out, by reason."""


class Dataset(ABC):
    """What the `build` of a dataset component returns.

    Attributes:
        obs_spec: The spec of every batch.
        action: The spec of `batch["action"]`, None where there is none.
    """

    obs_spec: ObservationSpec
    action: ActionSpec | None

    @abstractmethod
    def windows(self, split: str) -> Windows:
        """The windows of `train`, `val` or `test`. No scenario row stands in two splits.

        Raises:
            DataError: The split is empty.
        """

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A changed copy of a training batch, drawn from `generator`; the batch itself by default."""
        return batch

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash (hex) of the data and of everything that decides windows and splits, stored with every run."""


def to_device(batch: Batch, device: torch.device | str) -> Batch:
    """The batch on another device."""
    return {k: v.to(device, non_blocking=True) for k, v in batch.items()}
