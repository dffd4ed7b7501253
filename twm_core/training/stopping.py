"""Signals that end a training after the step that is being done: the step is finished, a checkpoint is written, the status is 130.

They are SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal or its connection closed) and SIGUSR1 (what batch systems can send before the
time of a job is over). A signal that was ignored when twm was started, as SIGHUP is under `nohup`, stays ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

STOPPING = tuple(getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, n))
"""The signals, as far as this system has them."""


@contextmanager
def stop_on_signals() -> Generator[threading.Event]:
    """Set an event on the first of `STOPPING`.

    A later SIGINT or SIGTERM interrupts at once. The others may be sent again by a batch system, and change nothing more.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number in (signal.SIGINT, signal.SIGTERM):
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.getsignal(s) for s in STOPPING}
    taken = [s for s in STOPPING if s == signal.SIGINT or before[s] is not signal.SIG_IGN]
    for number in taken:
        signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number in taken:
            signal.signal(number, before[number])
