"""The draft of a store: the folder in which a writer works until the store is finished.

    X.twm.partial/journal.jsonl   what has been written so far (`store_ledger`)
    X.twm.partial/shards-000000   the spool (`store_spool`), and likewise maps-000000
    X.twm.partial/store/          the store as far as it is finished; renamed to X.twm at the end

Every change is one event, first in the journal, then in the ledger. A process that is killed at any moment leaves such a folder, and the
next one begins where the journal ends. Files are cut where the next record would take them beyond a limit, so they do not depend on
interruptions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from twm_core.atomic import sync
from twm_core.data.store.locking import partial_folder
from twm_core.data.store.manifest import MAP_COLUMNS, MAPS, SHARDS, shard_columns
from twm_core.data.store.reading import Known
from twm_core.data.store.writing.journal import Journal
from twm_core.data.store.writing.ledger import AXES, Ledger
from twm_core.data.store.writing.resume import difference, finished_by, replay
from twm_core.data.store.writing.spool import Spool
from twm_core.errors import DataError

JOURNAL = "journal.jsonl"

_SYNC_EVERY, _SYNC_SHARE = 1.0, 0.1
"""Seconds between two flushes to disk, and how much of the time they may take."""


class CannotWriteError(DataError):
    """The disk is full or may not be written; what was written is kept, and the same command continues."""


class Draft:
    """A draft, begun or continued, by the writer that holds the lock of the store.

    Args:
        out: Folder of the store.
        command: What is done; `onto` is the hash of the manifest of the store that is added to.
        known: What that store has already.
        limit: About how long shards are, bytes.

    Attributes:
        folder: Its folder.
        ledger: What has been written.

    Raises:
        DataError: It is from another command, or the folder cannot be written.
    """

    def __init__(self, out: Path, *, command: Mapping[str, Any], known: Known, limit: int) -> None:
        self.out, self.folder = out, partial_folder(out)
        self.ledger = Ledger(known)
        self._limit = limit
        self._next_sync = time.monotonic() + _SYNC_EVERY
        self._spools: dict[str, Spool] = {}
        with self.writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in (SHARDS, MAPS):
                (self.folder / "store" / name).mkdir(parents=True, exist_ok=True)
            self._journal = Journal(self.folder / JOURNAL)
            self._resume(command)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around every change: a system that refuses it becomes a `CannotWriteError`."""
        try:
            yield
        except OSError as error:
            self.release()
            raise CannotWriteError(
                f"cannot write {error.filename or self.folder}: {error.strerror}",
                "make room or choose another place, then give the same command",
            ) from error

    def _resume(self, command: Mapping[str, Any]) -> None:
        """Make the ledger of the journal, and the spool agree with it; refuse a folder of another command."""
        try:
            events = list(self._journal.events())
        except (ValueError, TypeError) as error:
            raise self.unusable(f"its journal is damaged ({error})") from error
        if events:
            before, now = dict(events[0][1][1]), dict(command)
            onto, onto_now = before.pop("onto", ""), now.pop("onto")
            differs = difference(before, now)
            if differs is not None:
                raise self.unusable(differs)
            # Where the addition was completed, the store has changed by it alone.
            if onto != onto_now and finished_by(events) != onto_now:
                raise self.unusable(f"{self.out} has changed since")
        replay(self._journal, events, self.ledger, self._spool)
        self.settle()

    def unusable(self, why: str) -> DataError:
        """The error that says why the draft cannot be continued; all files are closed."""
        self.release()
        return DataError(
            f"{self.folder} is from an interrupted import that this command cannot continue: {why}", "begin again with --restart"
        )

    def _columns(self, word: str) -> tuple[Any, ...]:
        if word == MAPS:
            return MAP_COLUMNS
        return shard_columns(len(self.ledger.features or ()), self.ledger.actions)

    def _spool(self, word: str) -> Spool:
        if word not in self._spools:
            self._spools[word] = Spool(self.folder, word, self._columns(word), AXES[word])
        return self._spools[word]

    def settle(self) -> None:
        """Cut the spool to what the ledger knows."""
        for word in (SHARDS, MAPS):
            self._spool(word).settle(self.ledger.segments[word])
        if self.ledger.features is None:
            self._spools.pop(SHARDS, None)  # the columns are not known yet

    def write(self, what: str, facts: dict[str, Any]) -> None:
        """One event: into the journal, and into the ledger. What was written is flushed to disk now and then."""
        self._journal.write((what, facts))
        self.ledger.apply((what, facts))
        if what == "features":
            self._spools.pop(SHARDS, None)  # the columns are known now
        now = time.monotonic()
        if now >= self._next_sync:
            for spool in self._spools.values():
                spool.sync()
            self._journal.sync()
            took = time.monotonic() - now
            self._next_sync = now + took + max(_SYNC_EVERY, took / _SYNC_SHARE)

    def segment(self, word: str, counts: Sequence[int]) -> int:
        """The segment for a record with so many entries on each axis."""
        segments, size = self.ledger.segments[word], self._spool(word).size(counts)
        if segments and segments[-1].sealed is None and (not segments[-1].bytes or segments[-1].bytes + size <= self._limit):
            return len(segments) - 1
        return len(segments)

    def put(self, word: str, segment: int, arrays: dict[str, NDArray[Any]]) -> dict[str, int]:
        """Write a record into the spool.

        Returns:
            What its event says of it: `segment`, `bytes` and `crc`.
        """
        size = sum(arrays[c.name].nbytes for c in self._columns(word))
        return {"segment": segment, "bytes": size, "crc": self._spool(word).write(segment, arrays)}

    def make_files(self, *, every: bool) -> None:
        """Make files of the segments whose sources are finished: all but the last, or every one."""
        for word in (SHARDS, MAPS):
            segments = self.ledger.segments[word]
            for i, segment in enumerate(segments if every else segments[:-1]):
                if segment.sealed is None:
                    number = i + (self.ledger.known.shards if word == SHARDS else self.ledger.known.maps)
                    target = self.folder / "store" / word / f"{number:06d}.safetensors"
                    facts = self._spool(word).make(i, segment, target)
                    sync(target.parent)
                    self.write("file", {"word": word, "segment": i, **facts})
                    self._journal.sync()
                if self._spool(word).file(i).exists():
                    self._spool(word).file(i).unlink()

    def sync(self) -> None:
        """Flush the journal to disk."""
        self._journal.sync()

    def release(self) -> None:
        """Close all files; what was written stays for the same command to continue."""
        for spool in self._spools.values():
            spool.close()
        if hasattr(self, "_journal"):
            self._journal.close()
