"""Tensors of a store in safetensors files: read as memory-mapped NumPy views, written piece by piece.

A safetensors file is eight bytes with the length of a JSON header, the header (name -> dtype, shape, offsets), and the tensors one after
another (format: the description in the repository huggingface/safetensors). In the files of a store the header is padded to a multiple
of eight bytes and wide dtypes come first, so that every view is aligned. Nothing here copies a tensor or holds one in memory.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.atomic import new_file
from twm_core.errors import CheckpointError, DataError
from twm_core.tensor_files import read_header

DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
"""The dtypes of a store, as safetensors calls them, widest first."""

BLOCK = 512 << 10
"""Bytes of a block of a file, each of which has a hash of its own in the manifest."""

REMEDY = "import the data again, or unpack the store again"


@dataclass(frozen=True)
class Column:
    """A tensor of a file of a store.

    Attributes:
        name: Its name in the file.
        dtype: One of `DTYPES`.
        axis: What its first axis counts; tensors with the same axis have the same length.
        width: Length of its second axis; 0 where it has none.
        meaning: What it holds, for the documentation.
    """

    name: str
    dtype: str
    axis: str
    width: int = 0
    meaning: str = ""

    @property
    def item(self) -> int:
        """Bytes of one entry of the first axis."""
        return DTYPES[self.dtype].itemsize * max(self.width, 1)

    def shape(self, count: int) -> tuple[int, ...]:
        """The shape for `count` entries of the first axis."""
        return (count, self.width) if self.width else (count,)


def map_tensors(file: Path) -> dict[str, NDArray[Any]]:
    """Every tensor of a file as a read-only view of the file.

    Raises:
        DataError: The file is missing, truncated, or not a safetensors file with dtypes of `DTYPES`.
    """
    try:
        header, begin = read_header(file)
        with open(file, "rb") as stream:
            memory = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        header.pop("__metadata__", None)
        return {name: _view(memory, begin, facts) for name, facts in header.items()}
    except CheckpointError as error:
        raise DataError(error.message, REMEDY) from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check its permissions") from error
    except (LookupError, ValueError, TypeError) as error:
        raise DataError(f"{file} was changed: its header describes impossible tensors ({error})", REMEDY) from error


def _view(memory: mmap.mmap, begin: int, facts: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape = DTYPES[facts["dtype"]], tuple(int(n) for n in facts["shape"])
    first, last = (int(n) for n in facts["data_offsets"])
    if any(n < 0 for n in shape) or not 0 <= first <= last <= len(memory) - begin or last - first != prod(shape) * dtype.itemsize:
        raise ValueError(f"shape {list(shape)} in bytes {first} to {last}")
    if first == last:
        return np.empty(shape, dtype=dtype)
    return np.frombuffer(memory, dtype=dtype, count=prod(shape), offset=begin + first).reshape(shape)


def write_tensors(file: Path, columns: Iterable[tuple[Column, int]], pieces: Iterable[bytes | memoryview]) -> dict[str, Any]:
    """Write a file, flush it to disk and give it its name only then.

    Args:
        file: Where to; replaced if it exists.
        columns: The tensors with the lengths of their first axes, in the order of their data.
        pieces: The data in that order, cut anywhere.

    Returns:
        `bytes`, `sha256` and `blocks` of the file (see `FileHash`).

    Raises:
        ValueError: The pieces are not as long as the tensors.
    """
    header: dict[str, Any] = {}
    end = 0
    for column, count in columns:
        size = column.item * count
        header[column.name] = {"dtype": column.dtype, "shape": list(column.shape(count)), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    found = FileHash()
    with new_file(file) as stream:
        stream.write(head)
        found.update(head)
        for piece in pieces:
            stream.write(piece)
            found.update(piece)
        if found.bytes != len(head) + end:
            raise ValueError(f"{file}: {found.bytes - len(head)} bytes of data for tensors of {end}")
    return found.facts()


class FileHash:
    """What the manifest says of a file, computed while its bytes pass by.

    Attributes:
        bytes: How many have passed.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._whole = hashlib.sha256()
        self._block = _new_block()
        self._blocks: list[str] = []

    def update(self, piece: bytes | memoryview) -> None:
        """The next bytes of the file."""
        self._whole.update(piece)
        rest = memoryview(piece)
        while len(rest):
            room = BLOCK - self.bytes % BLOCK
            self._block.update(rest[:room])
            self.bytes += len(rest[:room])
            if self.bytes % BLOCK == 0:
                self._blocks.append(self._block.hexdigest())
                self._block = _new_block()
            rest = rest[room:]

    def facts(self) -> dict[str, Any]:
        """`bytes`, `sha256` (hex) of all of them, and `blocks`: the hashes of the blocks, one after another."""
        last = [self._block.hexdigest()] if self.bytes % BLOCK else []
        return {"bytes": self.bytes, "sha256": self._whole.hexdigest(), "blocks": "".join([*self._blocks, *last])}


def block_hash(data: bytes) -> str:
    """The hash (hex) of one block."""
    digest = _new_block()
    digest.update(data)
    return digest.hexdigest()


def _new_block() -> Any:
    return hashlib.blake2b(digest_size=8)


def write_arrays(file: Path, columns: Iterable[Column], arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """As `write_tensors`, of arrays in memory."""
    ordered = sorted(columns, key=lambda c: (-DTYPES[c.dtype].itemsize, c.name))
    made = [np.ascontiguousarray(arrays[c.name], dtype=DTYPES[c.dtype]) for c in ordered]
    for column, array in zip(ordered, made, strict=True):
        if array.shape != column.shape(len(array)):
            raise ValueError(f"{file}: {column.name} has shape {list(array.shape)}")
    return write_tensors(file, [(c, len(a)) for c, a in zip(ordered, made, strict=True)], (a.tobytes() for a in made))


def text_bytes(value: Any) -> NDArray[np.uint8]:
    """JSON of a value as uint8, in one way only."""
    return np.frombuffer(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), dtype=np.uint8)


def text_value(array: NDArray[np.uint8]) -> Any:
    """The value that `text_bytes` made the bytes of."""
    return json.loads(array.tobytes()) if len(array) else None
