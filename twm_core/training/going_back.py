"""Resuming from another checkpoint than the last one: what came after it is moved away, and nothing is removed.

RUN/aside-1/step-N              checkpoints that were made after the one that the run goes on from
RUN/aside-1/metrics.jsonl       copies of the curves, recipe and pointers as they were
RUN/aside-1/recipe.toml, latest, best
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twm_core import atomic
from twm_core.checkpoint.manifest import RunFolder


def go_back(folder: RunFolder, name: str) -> Path | None:
    """Make `name` the last checkpoint of a run. For a process that holds the lock of the run.

    A kill in between leaves every checkpoint in one of the two places; the same command then moves the rest.

    Returns:
        The folder to which later checkpoints were moved; None where there were none.

    Raises:
        OSError: A file cannot be moved or written.
    """
    names = folder.names()
    later = names[names.index(name) + 1 :]
    if not later and folder.pointed("latest") in (name, None):
        return None
    aside = None
    if later:
        aside = next(p for n in range(1, 10**6) if not (p := folder.path / f"aside-{n}").exists())
        aside.mkdir()
        for file in (folder.metrics, folder.recipe, folder.checkpoints / "latest", folder.checkpoints / "best"):
            if file.is_file():
                shutil.copyfile(file, aside / file.name)
                atomic.sync(aside / file.name)
        for other in later:
            os.replace(folder.checkpoints / other, aside / other)
        atomic.sync(aside)
        atomic.sync(folder.path)
    atomic.write_text(folder.checkpoints / "latest", name + "\n")
    if folder.pointed("best") is None:
        (folder.checkpoints / "best").unlink(missing_ok=True)
    return aside
