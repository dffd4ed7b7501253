"""Files and folders that are either there whole or not at all: written beside their place, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".unfinished-"


def write_text(file: Path, text: str) -> None:
    """Replace a small file atomically."""
    beside = file.with_name(f"{_PREFIX}{file.name}")
    try:
        with open(beside, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(file.parent)


@contextmanager
def new_folder(folder: Path) -> Generator[Path]:
    """A folder to fill; it takes its place (replacing what stands there) only if the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside, aside = (folder.with_name(f"{_PREFIX}{role}{folder.name}") for role in ("", "former-"))
    if beside.exists():
        shutil.rmtree(beside)
    beside.mkdir()
    try:
        yield beside
        for file in beside.iterdir():
            sync(file)
        sync(beside)
        if aside.exists():
            shutil.rmtree(aside)
        if folder.exists():
            # A folder cannot be renamed over one that is not empty. Moved away it is never seen half removed.
            os.replace(folder, aside)
        os.replace(beside, folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        if aside.exists() and not folder.exists():
            os.replace(aside, folder)
        raise
    sync(folder.parent)
    if aside.exists():
        shutil.rmtree(aside)


def remove_unfinished(folder: Path) -> None:
    """Remove what an interrupted writer left behind."""
    for leftover in folder.glob(f"{_PREFIX}*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
