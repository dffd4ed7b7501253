"""The table of scenarios of a store: read as memory-mapped columns; `twm_core.data.store.writing.table` makes it.

However many scenarios there are, opening a store parses none of it: every column is a view of the file, and the names are decoded when
somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.store.manifest import INDEX, SHARD_AXES
from twm_core.data.store.tensors import REMEDY, map_tensors, text_value
from twm_core.errors import DataError


class Index:
    """The table of scenarios (and of road maps).

    Args:
        file: The index file of a store.
        only: Only so many entries of each axis, as `lengths` of an older table gives them: additions follow what was there.

    Raises:
        DataError: The file is missing, truncated, or has other columns than `INDEX`.
    """

    def __init__(self, file: Path, only: Mapping[str, int] | None = None) -> None:
        self._file, self._only = file, dict(only or {})
        self.columns = map_tensors(file)
        for column in INDEX:
            found = self.columns.get(column.name)
            if found is None or found.shape != column.shape(len(found)):
                raise DataError(f"{file} has no column {column.name}, or one of another width", REMEDY)
        axes: dict[str, int] = {}
        for column in INDEX:
            length = len(self.columns[column.name])
            if axes.setdefault(column.axis, length) != length:
                raise DataError(f"{file}: column {column.name} has {length} entries instead of {axes[column.axis]}", REMEDY)
        self._listed = axes["scenarios"]
        for column in INDEX:
            if column.axis in ("scenarios", "roads"):
                self.columns[column.name] = self.columns[column.name][: self._only.get(column.axis)]
        self.scenarios, self.roads = len(self.columns["shard"]), len(self.columns["road_file"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def axis(self, name: str) -> NDArray[np.int64]:
        """How many entries each scenario has on an axis of `SHARD_AXES`."""
        return self.columns["count"][:, SHARD_AXES.index(name)]

    def lengths(self) -> dict[str, int]:
        """How many entries each axis has."""
        return {"scenarios": self.scenarios, "roads": self.roads, "sites": len(self.sites), "groups": len(self.groups)}

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of the scenarios."""
        return self._names("ids")

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Names of the sites."""
        return self._names("sites")

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups."""
        return self._names("groups")

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Number of each scenario by id."""
        return {name: i for i, name in enumerate(self.ids)}

    def _names(self, column: str) -> tuple[str, ...]:
        try:
            found = text_value(self.columns[column])
        except ValueError as error:
            raise DataError(f"{self._file}: column {column} is damaged: {error}", REMEDY) from error
        if not isinstance(found, list) or not all(isinstance(n, str) for n in found):
            raise DataError(f"{self._file}: column {column} is not a list of names", REMEDY)
        if column == "ids" and len(found) != self._listed:
            raise DataError(f"{self._file}: {len(found)} ids of {self._listed} scenarios", REMEDY)
        return tuple(found[: self._only.get("scenarios" if column == "ids" else column)])
