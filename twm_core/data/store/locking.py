"""One writer at a time for whatever is made of a store, or made into one: stores, drafts, packed files, folders of tables.

Every writer holds the lock (`twm_core.locking`) of what it writes from before it reads what it is going to change until the last file is in
place. Readers need no lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twm_core.atomic import remove_unfinished
from twm_core.data.store.manifest import MANIFEST, MAPS, SHARDS, read_store_manifest
from twm_core.errors import DataError
from twm_core.locking import store_lock, write_lock


def partial_folder(out: Path) -> Path:
    """Where a store is written until it is finished."""
    return out.with_name(f"{out.name}.partial")


@contextmanager
def only_writer(path: Path, what: str = "store", *, new: bool = False) -> Iterator[None]:
    """Hold the lock of `path` during the block. What an interrupted writer of it left under temporary names is removed first.

    Args:
        path: A store, or a file or folder that is made of one.
        what: What it is, for messages.
        new: It need not exist, and its folder is made.

    Raises:
        BusyError: Another process writes it.
        DataError: There is no store, or its folder cannot be written.
        TwmError: The lock file cannot be made.
    """
    if not new and not path.is_dir():
        read_store_manifest(path)  # says that there is none
    try:
        if new:
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}", "make room or choose another place") from error
    with write_lock(store_lock(path), f"{what} {path}"):
        try:
            _tidy(path)
        except OSError as error:
            raise DataError(f"cannot write {error.filename or path}: {error.strerror}", "check the permissions") from error
        yield


def _tidy(path: Path) -> None:
    if path.parent.is_dir():
        remove_unfinished(path.parent, path.name)
    stores = [partial_folder(path), partial_folder(path) / "store"]
    if (path / MANIFEST).is_file():  # in a folder that is no store, other writers may have such files
        stores.append(path)
    for store in stores:
        for folder in (store, store / SHARDS, store / MAPS):
            if folder.is_dir():
                remove_unfinished(folder)
