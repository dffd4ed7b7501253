"""Stops a piece of work at one of its file operations and does something else there, as another process might."""

from __future__ import annotations

import builtins
import io
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

_NAMES = ("open", "write", "replace", "unlink", "mkdir", "rmdir", "truncate", "ftruncate", "fsync")


class Stops:
    """Counts the file operations of the thread that made it; see `run`.

    Args:
        patch: Puts the counting functions in place, and flushes nothing to disk, which only takes time.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._thread = threading.get_ident()
        self._stop: int | None = -1
        self._count = 0
        self._then: Callable[[], None] | None = None
        for name in _NAMES:
            patch.setattr(os, name, self._counted(os.fsync if name == "fsync" else getattr(os, name), flush=name == "fsync"))
        opened = self._counted(builtins.open)
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)

    def run(self, work: Callable[[], None], stop: int | None = -1, then: Callable[[], None] | None = None) -> int:
        """Do `work`, and `then` before its operation number `stop` (from 0), or before each of them where `stop` is None.

        Returns:
            How many file operations the work had, those of `then` not counted.
        """
        self._stop, self._count, self._then = stop, 0, then
        try:
            work()
            return self._count
        finally:
            self._then = None

    def _counted(self, really: Callable[..., Any], *, flush: bool = False) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if threading.get_ident() == self._thread:
                then, self._count = self._then, self._count + 1
                if then is not None and self._stop in (None, self._count - 1):
                    before, self._then = self._count, None
                    then()
                    self._count = before
                    self._then = then if self._stop is None else None
            return None if flush else really(*args, **options)

        return call
