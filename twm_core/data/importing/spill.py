"""Rows that come in any order, handed back in pieces of a group and a stretch of time, in bounded memory.

A file that is not ordered by time cannot be cut into scenarios while it is read. Its rows are therefore written, as they come, to one
temporary file, in runs that belong to one (group, bucket), and read back run by run: bucket by bucket, in order of group and bucket, each
with its rows in the order in which they came. One file is open; it has no name in the file system where that allows it, so that nothing
remains even if the process is killed. What must fit into memory is one bucket and the rows that wait to be written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.tables import distinct
from twm_core.errors import DataError

WAITING = 32 << 20
"""Bytes of rows that wait in memory before they are written."""

Group = int | str


class Bucket(NamedTuple):
    """The rows of one group and stretch of time: the fields given to `Spill.add`, `[R]` each."""

    group: Group
    bucket: int
    columns: dict[str, NDArray[Any]]


class Spill:
    """Rows on their way into order; a context manager.

    Args:
        folder: Where the temporary file goes; the system's folder for such files by default.
        waiting: Bytes of rows that wait in memory before they are written.

    Raises:
        DataError: The temporary file cannot be written (`add`, `buckets`).
    """

    def __init__(self, *, folder: Path | None = None, waiting: int = WAITING) -> None:
        self.folder, self.waiting = folder, waiting
        self._file: IO[bytes] | None = None
        self._dtype: np.dtype[Any] | None = None
        self._words: dict[str, dict[str, int]] = {}
        self._keys: dict[tuple[Group, int], int] = {}
        self._runs: dict[int, list[tuple[int, int]]] = {}  # key: (first byte, rows) of each run
        self._parts: list[tuple[NDArray[np.int64], NDArray[Any]]] = []
        self._held = 0
        self._sorted: NDArray[Any] | None = None  # All rows, where they fit into what may wait.
        self.rows = 0

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._parts.clear()
        self._sorted = None
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def keys(self) -> list[tuple[Group, int]]:
        """The (group, bucket) pairs so far, in order."""
        return sorted(self._keys, key=lambda key: (isinstance(key[0], str), *key))

    def add(self, group: NDArray[Any] | Group, bucket: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows.

        Args:
            group: int64 or str `[R]`, or one for all rows.
            bucket: int64 `[R]`, number of the stretch of time.
            columns: Arrays `[R]` of numbers, booleans or text; the same names and kinds at every call.
        """
        rows = len(bucket)
        if not rows:
            return
        records = np.empty(rows, dtype=self._layout(columns))
        for name, values in columns.items():
            records[name] = self._coded(name, values) if name in self._words else values
        self._parts.append((self._numbers(group, bucket), records))
        self._held += records.nbytes
        self.rows += rows
        if self._held >= self.waiting:
            self._write()

    def buckets(self) -> Iterator[Bucket]:
        """Every (group, bucket) that has rows, in order: groups in order of number or text, buckets in order of time."""
        self._sort()
        for key in self.keys:
            yield Bucket(*key, self._columns(self._keys[key]))

    def _columns(self, key: int) -> dict[str, NDArray[Any]]:
        """The fields of a key's rows, filled run by run, so that they are never in memory twice."""
        assert self._dtype is not None
        rows = sum(count for _, count in self._runs[key])
        columns: dict[str, NDArray[Any]] = {name: np.empty(rows, dtype=self._dtype[name]) for name in self._dtype.names or ()}
        at = 0
        for first, count in self._runs[key]:
            records = self._read(first, count)
            for name, values in columns.items():
                values[at : at + count] = records[name]
            at += count
        for name in self._words:
            columns[name] = self._decoded(name, columns[name])
        return columns

    def _layout(self, columns: Mapping[str, NDArray[Any]]) -> np.dtype[Any]:
        if self._dtype is None:
            kinds = []
            for name, values in columns.items():
                if values.dtype.kind == "U":
                    self._words[name] = {}
                kinds.append((name, np.dtype(np.int32) if name in self._words else values.dtype))
            self._dtype = np.dtype(kinds)
        if self._dtype.names != tuple(columns):
            raise ValueError(f"rows with the columns {', '.join(columns)} follow rows with {', '.join(self._dtype.names or ())}")
        return self._dtype

    def _coded(self, name: str, values: NDArray[Any]) -> NDArray[np.int32]:
        words = self._words[name]
        unique, inverse = distinct(values)
        return np.asarray([words.setdefault(str(word), len(words)) for word in unique], dtype=np.int32)[inverse]

    def _decoded(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        unique, inverse = distinct(values)
        words = list(self._words[name])
        return np.asarray([words[i] for i in unique.tolist()], dtype=np.str_)[inverse]

    def _numbers(self, group: NDArray[Any] | Group, bucket: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for each row's (group, bucket)."""
        if isinstance(group, np.ndarray):
            groups, which = distinct(group)
            names: list[Group] = groups.tolist()
        else:
            names, which = [group], np.zeros(len(bucket), dtype=np.int64)
        buckets, when = distinct(bucket)
        pairs, inverse = distinct(which * len(buckets) + when)
        times = buckets.tolist()
        found = [self._keys.setdefault((names[p // len(times)], times[p % len(times)]), len(self._keys)) for p in pairs.tolist()]
        return np.asarray(found, dtype=np.int64)[inverse]

    def _sort(self) -> None:
        """Make every row ready to be read: in memory where all fit there, in the file otherwise."""
        if self._file is not None:
            self._write()
        elif self._parts:
            self._sorted = self._runs_of_keys(0)

    def _runs_of_keys(self, at: int) -> NDArray[Any]:
        """The rows that wait, in runs of one key, which are noted as beginning at byte `at`."""
        keys = np.concatenate([k for k, _ in self._parts])
        records = np.concatenate([r for _, r in self._parts])
        self._parts.clear()
        self._held = 0
        order = np.argsort(keys, kind="stable")
        keys, records = keys[order], records[order]
        begins = np.flatnonzero(np.append(True, np.diff(keys) != 0))
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(keys)], strict=True):
            self._runs.setdefault(int(keys[begin]), []).append((at + begin * records.itemsize, end - begin))
        return records

    def _write(self) -> None:
        """Write what waits to the end of the file."""
        if not self._parts:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self.folder, prefix="twm-")  # noqa: SIM115  closed by __exit__
            self._file.write(self._runs_of_keys(self._file.seek(0, 2)).view(np.uint8).data)
        except OSError as error:
            raise DataError(
                f"rows cannot be set aside in {self.folder or tempfile.gettempdir()}: {error.strerror or error}",
                "make room there, or set TMPDIR to a folder with room for about the size of the table",
            ) from error

    def _read(self, first: int, rows: int) -> NDArray[Any]:
        assert self._dtype is not None
        if self._sorted is not None:
            return self._sorted[first // self._dtype.itemsize :][:rows]
        assert self._file is not None
        self._file.seek(first)
        data = self._file.read(rows * self._dtype.itemsize)
        if len(data) != rows * self._dtype.itemsize:
            raise DataError("rows that were set aside in the temporary file are gone", "run it again")
        return np.frombuffer(data, dtype=self._dtype)
