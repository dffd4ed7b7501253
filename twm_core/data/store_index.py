"""The table of scenarios of a store: made from a writer's ledger, read as memory-mapped columns.

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

from twm_core.data.schema import EXISTENCE_CODES
from twm_core.data.store_ledger import FACTS, FLOATS, NUMBERS, Ledger
from twm_core.data.store_manifest import INDEX, MAP_AXES, SHARD_AXES
from twm_core.data.store_tensors import REMEDY, map_tensors, text_bytes, text_value, write_arrays
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES

_TEXTS = ("ids", "sites", "groups")


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


def build_index(file: Path, ledger: Ledger, base: Index | None) -> dict[str, Any]:
    """Write the table of what `ledger` has written, after the rows of `base`.

    Returns:
        The entry of the file in the manifest.
    """
    rows = np.frombuffer(ledger.numbers, dtype=np.int64).reshape(-1, NUMBERS) if len(ledger.numbers) else np.zeros((0, NUMBERS), np.int64)
    floats = np.frombuffer(ledger.floats, dtype=np.float64).reshape(-1, FLOATS) if len(ledger.floats) else np.zeros((0, FLOATS))
    widths = [1] * len(FACTS) + [len(SHARD_AXES)] * 2 + [len(EXISTENCE_CODES), len(AGENT_TYPES)]
    ends = np.cumsum(widths)
    made: dict[str, NDArray[Any]] = {}
    for name, width, end in zip((*FACTS, "begin", "count", "codes", "types"), widths, ends.tolist(), strict=True):
        made[name] = rows[:, end - width : end] if width > 1 else rows[:, end - 1]
    made |= {"start": floats[:, 0], "dt": floats[:, 1], "origin": floats[:, 2:4], "road_shift": floats[:, 4:6]}
    places = ledger.road_places
    known = ledger.known
    made["road_file"] = np.array([known.maps + segment for segment, _, _ in places], dtype=np.int64)
    made["road_begin"] = np.array([begin for _, begin, _ in places], dtype=np.int64).reshape(len(places), len(MAP_AXES))
    made["road_count"] = np.array([count for _, _, count in places], dtype=np.int64).reshape(len(places), len(MAP_AXES))
    hashes = b"".join(bytes.fromhex(h) for h in list(ledger.roads)[len(known.roads) :])
    made["road_sha256"] = np.frombuffer(hashes, dtype=np.uint8).reshape(-1, 32)
    for column in INDEX:
        if column.name in made:
            array = made[column.name].reshape(-1, column.width) if column.width else made[column.name]
            made[column.name] = array if base is None else np.concatenate([base[column.name], array])
    names = {"ids": [*known.ids, *ledger.ids], "sites": list(ledger.sites), "groups": list(ledger.groups)}
    made |= {name: text_bytes(names[name]) for name in _TEXTS}
    return {"file": file.name, **write_arrays(file, INDEX, made)}
