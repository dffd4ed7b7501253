"""Files and folders that exist completely or not at all: written under a temporary name, flushed to disk, then renamed.

Temporary names are `.unfinished-<32 hex digits>-NAME`. They cannot be guessed and are created exclusively, so a link or file that is
already there is never opened and never written through. A writer that was killed leaves such names; the next writer removes them with
`remove_unfinished` while it holds the lock of the folder (`twm_core.locking`).
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NAME = re.compile(r"\.unfinished-[0-9a-f]{32}-(?P<former>former-)?(?P<name>.+)", re.DOTALL)


def _temporary(path: Path, role: str = "") -> Path:
    return path.with_name(f".unfinished-{secrets.token_hex(16)}-{role}{path.name}")


@contextmanager
def new_file(file: Path) -> Generator[BinaryIO]:
    """A file to fill; it replaces `file` only if the block ends without an error.

    Args:
        file: The final name. A symbolic link of this name is replaced, not followed.

    Yields:
        The temporary file, open for writing in binary mode.

    Raises:
        OSError: It cannot be written. `file` is as it was.
    """
    temporary = _temporary(file)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(file.parent)


def write_text(file: Path, text: str) -> None:
    """Replace a small file atomically.

    Raises:
        OSError: It cannot be written. `file` is as it was.
    """
    with new_file(file) as stream:
        stream.write(text.encode("utf-8"))


@contextmanager
def new_folder(folder: Path) -> Generator[Path]:
    """A folder to fill; it takes its name (replacing a folder of that name) only if the block ends without an error.

    Yields:
        The temporary folder.

    Raises:
        OSError: It cannot be written. `folder` is as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, former = _temporary(folder), _temporary(folder, "former-")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        if folder.exists():
            # A folder cannot be renamed over one that is not empty. Moved away it is never seen half removed.
            os.replace(folder, former)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if former.exists() and not folder.exists():
            os.replace(former, folder)
        raise
    sync(folder.parent)
    if former.exists():
        shutil.rmtree(former)


def remove_unfinished(folder: Path, name: str | None = None) -> None:
    """Remove what an interrupted writer left in `folder`, and give a folder that it was replacing its name back.

    Only for a process that holds the lock of `folder`, or of `name` in it: the names may be in use by another writer.

    Args:
        folder: Where to look; nothing below it.
        name: Remove only what was to become the file or folder of this name.
    """
    for leftover in sorted(folder.glob(".unfinished-*")):
        match = _NAME.fullmatch(leftover.name)
        if match is None or (name is not None and match["name"] != name):
            continue
        final = folder / match["name"]
        if match["former"] and leftover.is_dir() and not final.exists():
            os.replace(leftover, final)
        elif leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


def sync(path: Path) -> None:
    """Flush a file or folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
