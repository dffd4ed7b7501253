"""The sources of a store: what it was made of, one line of JSON each, with the files' hashes and what the reader left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twm_core.data.store_tensors import REMEDY
from twm_core.errors import DataError


@dataclass(frozen=True)
class StoredSource:
    """A source of a store.

    Attributes:
        name: Its name.
        reader: Number of its reader in the manifest.
        files: Name, bytes and sha256 of each file.
        scenarios: How many scenarios it gave.
        skipped: What the reader left out of it.
        message: Why it was left out, where it cannot be read; else empty.
    """

    name: str
    reader: int
    files: tuple[Mapping[str, Any], ...]
    scenarios: int
    skipped: Mapping[str, int]
    message: str = ""


def read_sources(file: Path) -> list[StoredSource]:
    """The sources that a file lists, those that could not be read included.

    Raises:
        DataError: The file is damaged.
    """
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [
            StoredSource(s["name"], s["reader"], tuple(s["files"]), s["scenarios"], s.get("skipped", {}), s.get("message", ""))
            for s in lines
        ]
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check its permissions") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {error}", REMEDY) from error
