"""The files of tensors of a store, mapped into memory when they are first needed, and what each holds of a scenario or a road map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from twm_core.data.store.blocks import check_one
from twm_core.data.store.index import Index
from twm_core.data.store.manifest import MAP_AXES, MAP_COLUMNS, MAPS, SHARD_AXES, SHARDS, StoredFile
from twm_core.data.store.tensors import REMEDY, Column, map_tensors
from twm_core.errors import DataError


class MappedFiles:
    """Shards and maps files of a store; what is returned are read-only views.

    Args:
        folder: Folder of the store.
        index: Its table of scenarios, which says where each lies.
        columns: The tensors of its shards.
        unchecked: Files of which a block is compared with its hash when they are first needed.
    """

    def __init__(self, folder: Path, index: Index, columns: Sequence[Column], unchecked: Iterable[StoredFile] = ()) -> None:
        self._folder, self._index = folder, index
        self._unchecked = {facts.file: facts for facts in unchecked}
        self._columns = {SHARDS: columns, MAPS: MAP_COLUMNS}
        self._axes = [(c.name, SHARD_AXES.index(c.axis)) for c in columns]
        self._open_files: dict[tuple[str, int], dict[str, NDArray[Any]]] = {}

    def scenario(self, i: int) -> dict[str, NDArray[Any]]:
        """Every tensor of scenario number `i` but the names of its lanes.

        Raises:
            DataError: Its shard is damaged.
        """
        shard = self._file(SHARDS, int(self._index["shard"][i]))
        begin, count = self._index["begin"][i].tolist(), self._index["count"][i].tolist()
        return {name: shard[name][begin[axis] : begin[axis] + count[axis]] for name, axis in self._axes}

    def lane_names(self, i: int) -> NDArray[Any]:
        """The names of the lanes of scenario number `i`, as text tensor; scenarios may share one."""
        axis = SHARD_AXES.index("lane_text")
        begin, count = int(self._index["begin"][i, axis]), int(self._index["count"][i, axis])
        return self._file(SHARDS, int(self._index["shard"][i]))["lane_names"][begin : begin + count]

    def road(self, number: int) -> dict[str, NDArray[Any]]:
        """The tensors of road map `number`, in the frame in which it is stored."""
        found = self._file(MAPS, int(self._index["road_file"][number]))
        begin, count = self._index["road_begin"][number].tolist(), self._index["road_count"][number].tolist()
        axes = {column.name: MAP_AXES.index(column.axis) for column in MAP_COLUMNS}
        return {name: found[name][begin[axis] : begin[axis] + count[axis]] for name, axis in axes.items()}

    def _file(self, word: str, number: int) -> dict[str, NDArray[Any]]:
        found = self._open_files.get((word, number))
        if found is None:
            found = self._open_files[word, number] = self._opened(word, number)
        return found

    def _opened(self, word: str, number: int) -> dict[str, NDArray[Any]]:
        name = f"{word}/{number:06d}.safetensors"
        file = self._folder / name
        if name in self._unchecked:
            check_one(self._folder, self._unchecked[name])
        found = map_tensors(file)
        for column in self._columns[word]:
            tensor = found.get(column.name)
            if tensor is None or tensor.shape != column.shape(len(tensor)):
                raise DataError(f"{file} has no tensor {column.name}, or one of another width", REMEDY)
        return found


def check_size(folder: Path, name: str, size: int) -> None:
    """Check that a file of a store is there whole, and in the store.

    Raises:
        DataError: It is not.
    """
    file = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(f"the manifest of {folder} names the file {name} outside of it", REMEDY)
    if any(p.is_symlink() for p in (file, *file.parents[: len(Path(name).parts) - 1])) and not file.resolve().is_relative_to(
        folder.resolve()
    ):
        raise DataError(f"{file} is a link to {file.resolve()}, outside of the store", "put the file itself there")
    if not file.is_file():
        raise DataError(f"{file} is missing", REMEDY)
    found = file.stat().st_size
    if found != size:
        raise DataError(f"{file} is truncated or was changed: {found} bytes, {size} expected", REMEDY)
