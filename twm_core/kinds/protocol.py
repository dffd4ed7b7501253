"""Kind `protocol`: what makes two numbers comparable. It fixes dataset, windows, split, samples, metrics and baselines. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind


class ProtocolConfig(ComponentConfig):
    """Base of all protocol configs."""

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
    interface="twm_core.scoring.protocol:Protocol",
    in_recipe=False,
)
