"""The journal of a store that is being written: the file of events from which the ledger (`store_ledger`) is made again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from twm_core.data.store.writing.ledger import Event


class Journal:
    """The file of events. A line counts once its end is there.

    Args:
        file: Where it is; made if it does not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o644)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Every whole line: where it begins, and the event."""
        begin = 0
        with open(self._file, "rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                word, facts = json.loads(line)
                yield begin, (word, facts)
                begin += len(line)

    def cut(self, length: int) -> None:
        """Forget what follows."""
        os.ftruncate(self._handle, length)

    def cut_tail(self) -> None:
        """Forget a line without an end: what a process was writing when it was killed."""
        data = self._file.read_bytes()
        self.cut(data.rfind(b"\n") + 1)

    def write(self, event: Event) -> None:
        """Add an event. It survives the end of the process; `sync` makes it survive that of the machine."""
        write_all(self._handle, json.dumps(event, separators=(",", ":")).encode() + b"\n")

    def sync(self) -> None:
        """Flush to disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Close the file; closing it twice does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write all of it: a write may stop short."""
    rest = memoryview(data)
    while len(rest):
        rest = rest[os.write(handle, rest) :]
