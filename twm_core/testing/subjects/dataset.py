"""Datasets: built as a recipe would build them; one whose data are not there cannot be checked and says so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from twm_core.data.dataset import SPLITS, Batch, Windows
from twm_core.errors import DataError
from twm_core.specs import DatasetSpecs
from twm_core.testing.failure import NotApplicable
from twm_core.testing.subjects.base import Situation, Subject


def _ask(config: Any) -> DatasetSpecs:
    obs_spec, action = config.observations()
    return DatasetSpecs(obs_spec=obs_spec, action=action)


class DatasetSubject(Subject):
    """A dataset with its splits."""

    specs: DatasetSpecs

    @staticmethod
    def situations() -> Iterator[Situation]:
        yield Situation("its own data", _ask)

    @cached_property
    def instance(self) -> Any:
        """The dataset.

        Raises:
            NotApplicable: Its data are not there.
        """
        try:
            return self.build()
        except DataError as error:
            raise NotApplicable(f"its data are missing: {error.message}") from error

    @cached_property
    def windows(self) -> dict[str, Windows]:
        """The windows of every split."""
        return {s: self.instance.windows(s) for s in SPLITS}

    @cached_property
    def batches(self) -> dict[str, Batch]:
        """A batch of the first, a middle and the last window of every split."""
        return {s: w.batch(self.picked(w)) for s, w in self.windows.items()}

    def use(self) -> None:
        windows = self.windows["train"]
        windows.batch(self.picked(windows))

    @staticmethod
    def picked(windows: Windows) -> list[int]:
        """A few indices spread over the windows."""
        return sorted({0, len(windows) // 2, len(windows) - 1}) if len(windows) else []
