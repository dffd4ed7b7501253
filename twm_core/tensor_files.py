"""safetensors files without torch: their header, and hashes of a layout and of a file.

A file is eight bytes with the length of a JSON header, the header (name to dtype, shape, offsets), and the tensors one after another
(format: the description in the repository huggingface/safetensors). `safetensors.safe_open` returns neither the offsets, which a view of
the file needs, nor does it compare the size of the file with its header.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twm_core.errors import CheckpointError

_MOST_HEADER = 100_000_000


def read_header(file: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file (tensor name to dtype, shape, data_offsets; `__metadata__`) and the offset of the data.

    Raises:
        CheckpointError: The file is missing, truncated or not a safetensors file.
    """
    try:
        size = file.stat().st_size
        with open(file, "rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(size - 8, _MOST_HEADER):
                raise ValueError(f"header of {length} bytes in a file of {size}")
            header = json.loads(stream.read(length))
        end = max((int(t["data_offsets"][1]) for k, t in header.items() if k != "__metadata__"), default=0)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no file {file}", "use another checkpoint of the run") from error
    except (OSError, struct.error, ValueError, AttributeError, LookupError, TypeError) as error:
        raise CheckpointError(f"{file} is truncated or not a safetensors file: {error}", "use another checkpoint of the run") from error
    if size != 8 + length + end:
        raise CheckpointError(
            f"{file} is truncated or has been changed: {size} bytes, {8 + length + end} expected", "use another checkpoint of the run"
        )
    return header, 8 + length


def layout_hash(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> str:
    """sha256 of the names, dtypes and shapes of tensors, in the order of their names."""
    lines = [f"{name} {dtype} {list(shape)}" for name, (dtype, shape) in sorted(tensors.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def file_hash(file: Path) -> str:
    """sha256 of a file's bytes."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
