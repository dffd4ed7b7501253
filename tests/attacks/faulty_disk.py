"""A disk that refuses, or a process that is killed, at one chosen operation on files: for the tests of kills and of full disks.

`os` functions that change the disk are counted, and so is every write through a Python file object, which is otherwise done in C. Only
the main thread is counted.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REMOVING = ("unlink", "remove", "rmdir")
WRITING = ("open", "write", "fsync", "replace", "rename", "mkdir", "truncate", "ftruncate")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a system says where a file cannot grow; removing works then. With EROFS, removing is refused as well."""

Fail = Callable[[str, Callable[[], Any]], None]
"""What happens at an operation: its name, and what does half of it (a write that stops in the middle)."""


class Counter:
    """Operations so far: `names` of all, and the function that decides about each."""

    def __init__(self, fail: Fail | None = None) -> None:
        self.names: list[str] = []
        self.failed = 0
        self._fail = fail

    def step(self, name: str, half: Callable[[], Any] = lambda: None) -> None:
        if threading.current_thread() is threading.main_thread():
            self.names.append(name)
            if self._fail is not None:
                self._fail(name, half)


def refusing(at: int, number: int) -> Counter:
    """From the `at`-th operation on the disk says `number`, to writing only or, if it is read-only, to removing too."""

    def fail(name: str, half: Callable[[], Any]) -> None:
        if len(counter.names) <= at or (name in REMOVING and number != errno.EROFS):
            return
        counter.failed += 1
        if counter.failed == 1 and number != errno.EROFS:
            half()
        raise OSError(number, os.strerror(number))

    counter = Counter(fail)
    return counter


@contextmanager
def counted(counter: Counter) -> Iterator[Counter]:
    """Count every operation of the block."""
    before: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    try:
        for name in (*REMOVING, *WRITING):
            put(os, name, _function(name, getattr(os, name), counter))
        opening = _opening(io.open, counter)
        put(io, "open", opening)
        put(builtins, "open", opening)
        yield counter
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def killed_at(at: int, work: Callable[[], object]) -> bool:
    """Do some work in a process that is killed (SIGKILL) at its `at`-th operation, in the middle of a write.

    Returns:
        Whether it was; if not, it came to its end before.
    """

    def fail(name: str, half: Callable[[], Any]) -> None:
        if len(counter.names) > at:
            half()
            os.kill(os.getpid(), signal.SIGKILL)

    counter = Counter(fail)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads are those of the test runner, which the child does not need
        child = os.fork()
    if child == 0:
        try:
            with counted(counter):
                work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked test process must end here, whatever happens
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the work failed before it could be killed"
    return os.WIFSIGNALED(status)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but hidden ones, which are locks and what an interrupted writer left."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    names = [p.relative_to(folder) for p in files]
    return {n.as_posix(): p.read_bytes() for n, p in zip(names, files, strict=True) if not any(part.startswith(".") for part in n.parts)}


def _function(name: str, really: Callable[..., Any], counter: Counter) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        if name == "write":
            counter.step(name, lambda: really(args[0], bytes(args[1])[: len(args[1]) // 2]))
        elif name != "open" or (args[1] if len(args) > 1 else options["flags"]) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            counter.step(name)
        return really(*args, **options)

    return call


class _Raw(io.FileIO):
    """A file whose writes are counted."""

    counter: Counter

    def write(self, data: Any) -> int:
        super_write, content = super().write, bytes(data)
        self.counter.step("write", lambda: super_write(content[: len(content) // 2]))
        return super_write(content)


def _opening(really: Callable[..., Any], counter: Counter) -> Callable[..., Any]:
    def call(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+"):
            return really(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not isinstance(file, int):
            counter.step("open")
        raw = _Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        raw.counter = counter
        if buffering == 0:
            return raw
        stream = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline)

    return call
