"""How long work shows itself: a progress bar on a terminal, plain lines elsewhere. Both on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from twm_core.reporting import PlainReporter, Reporter, number_text


class TerminalReporter(Reporter):
    """A progress bar with the newest metrics beside it; notes appear above it.

    Args:
        console: Where it is drawn; standard error by default.
    """

    def __init__(self, *, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def note(self, text: str) -> None:
        """Print the remark above the bar."""
        self._console.print(Text(text))

    def progress(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        """Draw the bar, which appears at the first call."""
        numbers = "  ".join(f"{name} {number_text(value)}" for name, value in metrics.items())
        if self._progress is None or self._task is None:
            columns = (BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._progress = Progress(*columns, TextColumn("{task.fields[numbers]}", markup=False), console=self._console)
            self._task = self._progress.add_task("", total=steps, numbers=numbers)
            self._progress.start()
        if numbers:
            self._progress.update(self._task, numbers=numbers)
        self._progress.update(self._task, completed=step, total=steps)

    def finish(self) -> None:
        """Leave the bar as it stands and free the terminal."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = self._task = None


def reporter(unit: str = "step") -> Reporter:
    """The reporter that suits standard error; `unit` is what plain lines count."""
    return TerminalReporter() if sys.stderr.isatty() else PlainReporter(unit=unit)
