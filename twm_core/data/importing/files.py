"""Finding the files of a format below the paths that a user gives, under names that do not depend on where they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from os.path import abspath
from pathlib import Path

from twm_core.errors import DataError


def without_ending(path: Path) -> Path:
    """The path without the ending of its name."""
    return path.with_suffix("")


def find_files(
    paths: Sequence[Path], accept: Callable[[Path], bool], *, what: str, named: Callable[[Path], Path] = without_ending
) -> list[tuple[str, Path]]:
    """The files that are given, and those below the folders that are given, each with a name.

    A file is named after its path as seen from the path that was given: its own name if it was given itself, else its path below the
    folder. Names that collide take further folder names in front. Files that are given themselves are taken whatever their names are;
    hidden ones below a folder are not. Links are found under their own names, but two of one file only once.

    Args:
        paths: Files and folders.
        accept: Whether a file below a folder is one of the format; looks at names only.
        what: Name of the format and its usual files, for messages.
        named: From a file to the path that it is named after; it may be the folder that the file stands for.

    Returns:
        Names and paths, in order of the given paths and of path below each, none twice.

    Raises:
        DataError: A path is not there, a folder holds no such file, or two files have the same name after all.
    """
    found: dict[Path, tuple[tuple[str, ...], int]] = {}  # the parts of the path that it is named after, and how many its name has
    seen: set[Path] = set()
    for path in paths:
        if path.is_file():
            files = [path]
        elif path.is_dir():
            inside = sorted(p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
            files = [p for p in inside if accept(p) and p.is_file()]
            if not files:
                raise DataError(f"{path} holds no file of {what}", f"give a folder with {what}, or the files themselves")
        else:
            raise DataError(f"{path} is not there", f"give an existing file or folder of {what}")
        for file in files:
            if (real := file.resolve()) not in seen:
                seen.add(real)
                parts = named(Path(abspath(file))).parts[1:]
                found[file] = (parts, max(1, len(parts) - len(Path(abspath(path)).parts[1:])) if path.is_dir() else 1)
    return [(name, file) for file, name in _apart(found).items()]


def _apart(found: dict[Path, tuple[tuple[str, ...], int]]) -> dict[Path, str]:
    """Names that differ: those that collide take further folders in front."""
    depths = {file: depth for file, (_, depth) in found.items()}
    while True:
        names = {file: "/".join(parts[-depths[file] :]) for file, (parts, _) in found.items()}
        counts = Counter(names.values())
        collide = [file for file, name in names.items() if counts[name] > 1]
        if not collide:
            return names
        longer = [file for file in collide if depths[file] < len(found[file][0])]
        if not longer:
            both = [str(file) for file in collide if names[file] == names[collide[0]]]
            raise DataError(f"{' and '.join(both)} have the same name", "rename one, or import one of them only")
        for file in longer:
            depths[file] += 1


def find_above(path: Path, name: str, *, levels: int = 4) -> Path | None:
    """The nearest `name` beside `path` or in one of the folders above it; None where there is none."""
    for folder in list(path.resolve().parents)[:levels]:
        if (folder / name).exists():
            return folder / name
    return None
