"""Which tables lie in files and folders: `twm_core.data.importing.files` for the usual endings of tables, in natural order of their
names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from twm_core.data.importing.files import find_files
from twm_core.errors import DataError

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")
"""How tables of text end."""


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key under which `clip_2` comes before `clip_10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def find_tables(paths: Sequence[Path], what: str, endings: Sequence[str] = TABLES) -> list[tuple[str, Path]]:
    """Tables with a name each, in natural order.

    Args:
        paths: Files, whatever they are called, and folders, which are searched for the endings.
        what: What is looked for, for messages.
        endings: How the files that are looked for end.

    Raises:
        DataError: A path is not there, nothing is found, or two tables have one name.
    """
    found = find_files(paths, lambda path: path.name.lower().endswith(tuple(endings)), what=f"{what} ({', '.join(endings)})")
    if not found:
        raise DataError(f"no {what} were given", "give files or folders")
    return sorted(((name.removesuffix(".csv"), path) for name, path in found), key=lambda entry: (natural(entry[0]), str(entry[1])))
