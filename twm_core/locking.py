"""One lock for every process that writes a store or a run.

    with write_lock(store_lock(path), f"store {path}"):
        ...                                   # read what is there, compare, write

Every writer takes the lock of its folder before it reads what it is going to change, and keeps it until the last file is in place.
Readers take no lock: files are replaced by renaming, and an open file stays readable.

The lock is a file. Its holder keeps it locked with `flock`, which the kernel releases when the process ends for whatever reason, and
writes into it which host and process it is, with a counter that grows every few seconds (the beat). A lock file is stale, and is taken
over, when

* `flock` succeeds and the file is empty or names this host: the holder has ended;
* `flock` succeeds, or the file system has none, and the file names another host, but its counter does not grow while we wait for three
  beats. Some network file systems lock on each host separately, so that `flock` alone proves nothing about another host.

Without `flock` a holder on this host counts as ended when there is no process of its number.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twm_core.errors import BusyError, TwmError

BEAT = 2.0
"""Seconds between two growths of the counter."""

_SETTLE = 0.1
"""Seconds after which a file system without `flock` shows which of two simultaneous writers came last."""

_MOST = 4096
"""Bytes that are read of a lock file."""


def store_lock(store: Path) -> Path:
    """The lock file of a store, which need not exist yet: hidden, in the folder that contains the store.

    A symbolic link to a store has the lock of the store.
    """
    store = Path(os.path.realpath(store))
    return store.with_name(f".{store.name}.lock")


def run_lock(run: Path) -> Path:
    """The lock file of a run folder: hidden, inside it."""
    return run / ".lock"


@contextmanager
def write_lock(file: Path, what: str) -> Generator[None]:
    """Hold the lock `file` during the block.

    Args:
        file: The lock file; its folder must exist. It is removed afterwards.
        what: What it protects, for messages: `store X.twm`.

    Raises:
        BusyError: Another process holds it; the message names its host and process.
        TwmError: The lock file cannot be made.
    """
    lock = _Lock(file, what)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Lock:
    def __init__(self, file: Path, what: str) -> None:
        self.file, self.what = file, what
        self._handle = -1
        self._token = secrets.token_hex(8)
        self._beats = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        try:
            self._handle, kernel = self._open()
            try:
                self._take_over(kernel)
            except BaseException:
                self._close()
                raise
        except OSError as error:
            raise TwmError(
                f"cannot lock {self.what}: {self.file}: {error.strerror or error}", "check the permissions and free space of the folder"
            ) from error
        _held.add(self)
        self._thread = threading.Thread(target=self._beat, name="twm-lock", daemon=True)
        self._thread.start()

    def _open(self) -> tuple[int, bool]:
        """The open file, and whether the kernel locked it. The file that is locked is the one that has the name."""
        while True:
            handle = os.open(self.file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                kernel = _flock(handle)
            except BlockingIOError:
                holder = _read(handle)
                os.close(handle)
                raise self._busy(holder) from None
            except BaseException:
                os.close(handle)
                raise
            try:
                same = os.path.samestat(os.fstat(handle), os.stat(self.file, follow_symlinks=False))
            except FileNotFoundError:
                same = False
            if same:
                return handle, kernel
            os.close(handle)  # its holder removed it between our opening and locking it

    def _take_over(self, kernel: bool) -> None:
        holder = _read(self._handle)
        if holder and not self._ended(holder, kernel):
            raise self._busy(holder)
        self._write()
        if not kernel:
            time.sleep(_SETTLE)
            if _read(self._handle).get("token") != self._token:
                raise self._busy(_read(self._handle))

    def _ended(self, holder: dict[str, Any], kernel: bool) -> bool:
        """Whether the holder that the file names has ended."""
        if holder.get("host") == socket.gethostname():
            return kernel or not _process_exists(holder.get("process"))
        for _ in range(6):
            time.sleep(BEAT / 2)
            now = self._read_anew()
            if now and (now.get("token"), now.get("beats")) != (holder.get("token"), holder.get("beats")):
                return False
        return True

    def _read_anew(self) -> dict[str, Any]:
        """What the file holds now; opened again, because network file systems look at the server when a file is opened."""
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(self.file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            try:
                return _read(handle)
            finally:
                os.close(handle)
        return {}

    def _busy(self, holder: dict[str, Any]) -> BusyError:
        process, host = holder.get("process"), holder.get("host")
        by = f"process {process} on host {host}" if isinstance(process, int) and isinstance(host, str) else "another process"
        return BusyError(f"{self.what} is being written by {by}", "wait until it has finished, or end it, then give the same command again")

    def _write(self) -> None:
        facts = {"host": socket.gethostname(), "process": os.getpid(), "token": self._token, "beats": self._beats}
        text = json.dumps(facts).encode()
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, text)
        os.ftruncate(self._handle, len(text))

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            self._beats += 1
            # A full disk or a lost network must not end the work that the lock protects; the next beat tries again.
            with contextlib.suppress(OSError):
                self._write()

    def release(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        _held.discard(self)
        with contextlib.suppress(OSError):
            # Removed while it is locked: whoever opened it before sees that it no longer has the name, and opens again.
            if os.path.samestat(os.fstat(self._handle), os.stat(self.file, follow_symlinks=False)):
                os.unlink(self.file)
        self._close()

    def forget(self) -> None:
        """In a forked child: close the copy of the open file, which would keep the lock after the parent has ended."""
        self._close()

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


_held: set[_Lock] = set()


def _forget_in_child() -> None:
    for lock in _held:
        lock.forget()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


def _flock(handle: int) -> bool:
    """Lock an open file; False where the system or file system has no such locks.

    Raises:
        BlockingIOError: Another process holds it.
    """
    import errno

    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL):
            return False
        raise
    return True


def _read(handle: int) -> dict[str, Any]:
    """What a lock file says about its holder; empty where it says nothing that can be understood."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        facts = json.loads(os.read(handle, _MOST))
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _process_exists(number: Any) -> bool:
    if not isinstance(number, int) or number <= 0:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
