"""Kind `protocol`: what makes two numbers comparable. It fixes dataset, windows, split, samples, metrics and baselines. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind


class ProtocolConfig(ComponentConfig):
    """Base of all protocol configs.

    Attributes:
        may_differ: Fields of the dataset's config in which the training of a checkpoint may differ from what the protocol fixes, because no
            other value of them can have shown it what is scored. A checkpoint that differs in any other fixed field is refused.
    """

    may_differ: ClassVar[frozenset[str]] = frozenset()

    def dataset(self) -> tuple[str, Mapping[str, Any]]:
        """Name of the dataset component, and the fields of its config that the protocol fixes (never where the files are)."""
        raise NotImplementedError

    def futures(self) -> int:
        """`S`, futures of each window."""
        raise NotImplementedError

    def metrics(self) -> Mapping[str, Mapping[str, Any]]:
        """Metrics by name, with the fields of their configs that differ from the defaults."""
        raise NotImplementedError

    def baselines(self) -> Mapping[str, Mapping[str, Any]]:
        """Baselines by name, with the fields of their configs that differ from the defaults."""
        raise NotImplementedError

    def split(self) -> str:
        """The split that is scored unless somebody asks for another (`val`, while tuning)."""
        return "test"


KIND = Kind(
    name="protocol",
    summary="What makes two numbers comparable: dataset, windows, split, number of futures, metrics and baselines.",
    config=ProtocolConfig,
    interface="twm_core.evaluation.protocol:Protocol",
    specs="nothing",
    gives="dataset, split, number of futures, metrics and baselines, and their hash",
)
