"""Kind `dataset`: where batches come from."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind
from twm_core.specs import ActionSpec, ObservationSpec


class DatasetConfig(ComponentConfig):
    """Base of all dataset configs."""

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        """What a batch of this dataset holds, from the config alone, without touching the data."""
        raise NotImplementedError


KIND = Kind(
    name="dataset",
    summary="Where batches come from: windows of recordings, simulations or episodes, with their splits and protocol.",
    config=DatasetConfig,
    interface="twm_core.data.dataset:Dataset",
    specs="nothing",
    gives="windows: batches of observed steps and of those to predict",
)
