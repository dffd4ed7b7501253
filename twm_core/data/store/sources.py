"""The sources of a store: what it was made of, one line of JSON each, with the files' hashes and what the reader left out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twm_core.data.store.manifest import AGAIN, StoredFile, read_store_manifest
from twm_core.data.store.tensors import REMEDY
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


def read_sources(folder: Path, facts: StoredFile) -> list[StoredSource]:
    """The sources that a file of a store lists, those that could not be read included.

    Args:
        folder: The store.
        facts: The file, as the manifest named it. Where scenarios were added since, it is the beginning of the file that replaced it.

    Raises:
        DataError: The file is damaged, or the store was replaced by another.
    """
    file = folder / facts.file
    try:
        try:
            text = file.read_bytes()
        except FileNotFoundError:
            file = folder / read_store_manifest(folder).sources.file
            text = file.read_bytes()[: facts.bytes]
            if hashlib.sha256(text).hexdigest() != facts.sha256:
                raise DataError(f"{folder} is not the store that was opened: its sources are others", AGAIN) from None
        lines = [json.loads(line) for line in text.decode("utf-8").splitlines()]
        return [
            StoredSource(s["name"], s["reader"], tuple(s["files"]), s["scenarios"], s.get("skipped", {}), s.get("message", ""))
            for s in lines
        ]
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}", "check its permissions") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{file} is damaged: {error}", REMEDY) from error
