"""The spool: where scenarios and road maps wait, record by record, until a file of the store is made of a whole segment of them.

A record is the tensors of one scenario (or road map), one after another in the order of the file's columns. A file of the store holds the
same tensors joined along their first axes. So a scenario is written once it is read, memory holds one scenario and never a shard, and
what a killed process wrote is still there.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.store.tensors import DTYPES, Column, write_tensors
from twm_core.data.store.writing.journal import write_all
from twm_core.data.store.writing.ledger import Segment

_PIECE = 4 << 20


class Spool:
    """The segments of one kind of file.

    Args:
        folder: Where segments lie.
        word: First part of their names.
        columns: Tensors of a record, in order.
        axes: Names of the axes that counts refer to.
    """

    def __init__(self, folder: Path, word: str, columns: Sequence[Column], axes: Sequence[str]) -> None:
        self._folder = folder
        self._word = word
        self._columns = tuple(columns)
        self._axes = {c.name: axes.index(c.axis) for c in columns}
        self._handle: tuple[int, int] | None = None

    def size(self, counts: Sequence[int]) -> int:
        """Bytes of a record with so many entries on each axis."""
        return sum(c.item * counts[self._axes[c.name]] for c in self._columns)

    def file(self, segment: int) -> Path:
        """The file of a segment."""
        return self._folder / f"{self._word}-{segment:06d}"

    def write(self, segment: int, arrays: Mapping[str, NDArray[Any]]) -> int:
        """Add a record to a segment and return its crc32."""
        handle = self._open(segment)
        crc = 0
        for column in self._columns:
            data = np.ascontiguousarray(arrays[column.name], dtype=DTYPES[column.dtype]).reshape(-1).view(np.uint8).data
            crc = zlib.crc32(data, crc)
            write_all(handle, data)
        return crc

    def sync(self) -> None:
        """Flush the segment that was written last to disk."""
        if self._handle is not None:
            os.fsync(self._handle[1])

    def agrees(self, segment: int, begin: int, size: int, crc: int) -> bool:
        """Whether the record that should begin there is there whole."""
        file = self.file(segment)
        if not file.is_file() or file.stat().st_size < begin + size:
            return False
        found = 0
        with open(file, "rb") as stream:
            stream.seek(begin)
            while size > 0 and (piece := stream.read(min(size, _PIECE))):
                found = zlib.crc32(piece, found)
                size -= len(piece)
        return found == crc

    def settle(self, segments: Sequence[Segment]) -> None:
        """Make the files agree with the ledger: shorten them to their records, remove those that are finished or void."""
        self.close()
        wanted = {self.file(i): s.bytes for i, s in enumerate(segments) if s.sealed is None}
        for file in sorted(self._folder.glob(f"{self._word}-*")):
            if file not in wanted:
                file.unlink()
            elif file.stat().st_size > wanted[file]:
                os.truncate(file, wanted[file])

    def make(self, number: int, segment: Segment, target: Path) -> dict[str, Any]:
        """Make the file `target` of a segment, and return `bytes` and `sha256`; the segment stays."""
        # What the journal says before the line on this file must be on disk when that line is.
        self.sync()
        self.close()
        columns = [(c, segment.totals[self._axes[c.name]]) for c in self._columns]
        return write_tensors(target, columns, self._pieces(number, segment))

    def _pieces(self, number: int, segment: Segment) -> Iterator[bytes]:
        with open(self.file(number), "rb") as stream:
            for column in self._columns:
                at = 0
                for counts, size, _ in segment.records:
                    length = column.item * counts[self._axes[column.name]]
                    if length:
                        own = sum(c.item * counts[self._axes[c.name]] for c in self._columns[: self._columns.index(column)])
                        stream.seek(at + own)
                        while length > 0:
                            piece = stream.read(min(length, _PIECE))
                            if not piece:
                                raise ValueError(f"{self.file(number)} ends early")
                            yield piece
                            length -= len(piece)
                    at += size

    def _open(self, segment: int) -> int:
        if self._handle is None or self._handle[0] != segment:
            if self._handle is not None:
                os.fsync(self._handle[1])
            self.close()
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            self._handle = (segment, os.open(self.file(segment), flags, 0o644))
        return self._handle[1]

    def close(self) -> None:
        """Close the file that is open for writing."""
        if self._handle is not None:
            os.close(self._handle[1])
            self._handle = None
