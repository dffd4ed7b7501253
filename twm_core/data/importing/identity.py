"""What an import records of its input: names, sizes and hashes, never where the files lie.

Two imports of the same files are byte-identical wherever the files are, and an interrupted import is continued by the command that began
it, however its paths are spelled. So a file is known by its name and the sha256 of its bytes, a folder by its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from os.path import abspath
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from twm_core.data.importing.reader import Source
from twm_core.errors import DataError
from twm_core.tensor_files import file_hash

_SHORTENED = 12


def file_facts(source: Source) -> list[dict[str, Any]]:
    """Name, size and sha256 of each file of a source.

    Raises:
        DataError: A file cannot be read.
    """
    found = []
    for file in source.files:
        try:
            found.append({"name": file.name, "bytes": file.stat().st_size, "sha256": file_hash(file)})
        except OSError as error:
            raise _unreadable(source, file, error) from error
    return found


def file_times(source: Source) -> list[tuple[int, int]]:
    """Size and time of the last change of each file, to see whether somebody writes it.

    Raises:
        DataError: A file cannot be read.
    """
    found = []
    for file in source.files:
        try:
            facts = file.stat()
        except OSError as error:
            raise _unreadable(source, file, error) from error
        found.append((facts.st_size, facts.st_mtime_ns))
    return found


def _unreadable(source: Source, file: Path, error: OSError) -> DataError:
    return DataError(f"source {source.name}: cannot read {file}: {error.strerror}", "check path and permissions")


def shortly(facts: Mapping[str, Any]) -> str:
    """The facts of a file for a message."""
    return f"sha256 {facts['sha256'][:_SHORTENED]}... ({facts['bytes']} bytes)"


def sources_facts(sources: Sequence[Source]) -> dict[str, Any]:
    """Names of all sources: their hash, and the first ones for messages."""
    text = "\n".join(f"{s.name} {' '.join(f.name for f in s.files)}" for s in sources)
    return {"count": len(sources), "first": [s.name for s in sources[:3]], "sha256": hashlib.sha256(text.encode()).hexdigest()}


def recorded_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a reader's config as JSON, sorted by name.

    What is a `pathlib.Path` is a path, nothing else is: a reader's config gives its paths that type. A file becomes
    `{"file": name, "sha256": ...}`, anything else `{"folder": name}`; what a reader reads from a folder stands among the files of its
    sources, with hashes.

    Raises:
        DataError: A file cannot be read.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return _recorded_path(value)
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return to_jsonable_python(value)

    return {name: plain(value) for name, value in sorted(options.items())}


def _recorded_path(path: Path) -> dict[str, str]:
    name = Path(abspath(path)).name  # "." and "maps/../maps" have names, too
    if not path.is_file():
        return {"folder": name}
    try:
        return {"file": name, "sha256": file_hash(path)}
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "check path and permissions") from error
