"""A run folder belongs to one training at a time, and files of the user in it are never changed.

A training holds the lock of its folder from before it reads what is there until its last file is in place. It takes a folder only if
everything in it that has a name which training writes was written by training: a complete checkpoint proves it, and before the first
checkpoint the first line of `recipe.toml`, which holds the sha256 of the lines below it. Other files in the folder are left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twm_core.checkpoint.manifest import RunFolder
from twm_core.errors import CheckpointError
from twm_core.locking import run_lock, write_lock
from twm_core.recipe.layers import to_toml

_MARK = "# Written by twm train. sha256 of the lines below: "


def recipe_text(values: Mapping[str, Any]) -> str:
    """A resolved recipe as the text of `recipe.toml` in a run folder."""
    text = to_toml(values)
    return f"{_MARK}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def written_by_training(recipe: Path) -> bool:
    """Whether a `recipe.toml` is as training wrote it."""
    try:
        first, _, rest = recipe.read_bytes().partition(b"\n")
    except OSError:
        return False
    return first == f"{_MARK}{hashlib.sha256(rest).hexdigest()}".encode()


def check_claim(folder: RunFolder, *, resume: bool) -> None:
    """Check that a training may write into a run folder.

    Raises:
        CheckpointError: There is a checkpoint and `resume` is false, or none and it is true, or there are files of the user.
    """
    if folder.names():
        if not resume:
            raise CheckpointError(
                f"run folder {folder.path} already holds checkpoints, and a run is never overwritten",
                f"continue it with twm train --run {folder.path} --resume, or give another --run",
            )
        return
    if resume:
        raise CheckpointError(f"run folder {folder.path} has no complete checkpoint", "leave --resume out to train it from the start")
    if written_by_training(folder.recipe):
        return
    theirs = [p for p in (folder.recipe, folder.metrics, folder.tensorboard, folder.checkpoints) if _holds_something(p)]
    if theirs:
        raise CheckpointError(
            f"folder {folder.path} holds {', '.join(p.name for p in theirs)}, which twm train did not write or which was changed since",
            "give another --run, or move these files away",
        )


def _holds_something(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        return any(path.iterdir())
    return path.exists() or path.is_symlink()


@contextmanager
def claimed(run: Path, *, resume: bool) -> Generator[RunFolder]:
    """Hold a run folder during the block; it is made if need be, and removed again if nothing was written into it.

    Raises:
        BusyError: Another training holds it.
        CheckpointError: See `check_claim`; or the folder cannot be made.
    """
    folder = RunFolder(run)
    check_claim(folder, resume=resume)  # before anything is written, a lock file included
    missing = [p for p in (run, *run.parents) if not p.exists()]
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"cannot write run folder {run}: {error.strerror or error}", "choose another --run folder; there is no checkpoint yet"
        ) from error
    try:
        with write_lock(run_lock(run), f"run {run}"):
            check_claim(folder, resume=resume)
            yield folder
    finally:
        with contextlib.suppress(OSError):  # a folder that is not empty stays
            for path in missing:
                path.rmdir()
