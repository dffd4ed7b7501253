"""What long work says while it runs: notes and progress, to whoever watches. Torch-free.

Training and evaluation call a `Reporter` and never print. The base class is silent, which is what a library or a test wants;
`PlainReporter` writes plain lines for pipes and log files. The command line has a third one that draws a progress bar.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO


class Reporter:
    """Receives what long work has to say; this base says nothing."""

    def note(self, text: str) -> None:
        """A remark for the user, on lines of its own."""

    def progress(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        """`step` of `steps` are done; `metrics` are the newest numbers by name and may be empty."""

    def finish(self) -> None:
        """Progress has ended, by completion or by interruption. Calling it twice does nothing."""


class PlainReporter(Reporter):
    """One line for each note, and a progress line at most every `interval` seconds or every tenth of the work.

    The last progress that was reported is always written, at the latest by `finish`.

    Args:
        unit: What is counted.
        stream: Where lines go; standard error by default.
        interval: Seconds between two progress lines.
        clock: Source of seconds, for tests.
    """

    def __init__(
        self, *, unit: str = "step", stream: TextIO | None = None, interval: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._unit = unit
        self._stream = stream
        self._interval = interval
        self._clock = clock
        self._written_at = clock()
        self._tenth = 0
        self._pending: str | None = None

    def note(self, text: str) -> None:
        """Write the remark."""
        self._write(text)

    def progress(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        """Write a line if it is due, and remember it otherwise."""
        self._pending = progress_line(step, steps, metrics, unit=self._unit)
        tenth = 10 * step // max(steps, 1)
        if tenth < self._tenth:  # another piece of work has begun
            self._tenth = 0
        if tenth > self._tenth or step >= steps or self._clock() - self._written_at >= self._interval:
            self._tenth = tenth
            self._flush()

    def finish(self) -> None:
        """Write the last progress if it is still to be written."""
        self._flush()

    def _flush(self) -> None:
        if self._pending is not None:
            self._write(self._pending)
            self._pending = None
            self._written_at = self._clock()

    def _write(self, text: str) -> None:
        # Looked up at each write, because a test or an embedding program may have replaced sys.stderr.
        print(text, file=self._stream or sys.stderr, flush=True)


def progress_line(step: int, steps: int, metrics: Mapping[str, float], *, unit: str = "step") -> str:
    """`step 120/1200  loss 0.512  lr 0.001`, the step padded to the width of `steps`."""
    head = f"{unit} {step:>{len(str(steps))}}/{steps}"
    return "  ".join([head, *(f"{name} {number_text(value)}" for name, value in metrics.items())])


def number_text(value: float) -> str:
    """A number of a progress line: counts in full, measures to four digits."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
