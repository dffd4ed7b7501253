"""What work costs, as a ratio to other work of the same run: no test reads a clock by itself or compares a time with a number.

Costs are seconds of CPU of this process and of the children it waited for, so that jobs next to it count little. The least of a few
repetitions counts, and both sides are measured in turns, so that what slows the machine down slows both.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial

REPETITIONS = 5


def seconds(work: Callable[[], object]) -> float:
    """CPU of one call."""
    before = _used()
    work()
    return _used() - before


def _used() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


class Yardstick:
    """Work that is the unit in which other work is measured.

    Args:
        work: What is measured as the unit, a few times at once and again with whatever seems to cost too much.
        times: How often at once.
    """

    def __init__(self, work: Callable[[], object], times: int = 3) -> None:
        self.work = work
        self.least = min(seconds(work) for _ in range(times))

    def ratio(self, work: Callable[[], object], enough: float) -> float:
        """The cost of `work` in units; where one call is above `enough`, the least of several on both sides, measured in turns."""
        first = seconds(work) / self.least
        if first <= enough:
            return first
        pairs = [(seconds(work), seconds(self.work)) for _ in range(REPETITIONS)]
        return min(mine for mine, _ in pairs) / min(unit for _, unit in pairs)

    def least_ratio(self, work: Callable[[], object]) -> float:
        """A lower bound of the cost of `work`, for tests of what costs a lot: one call, in the larger of two measurements of the unit."""
        return seconds(work) / max(seconds(self.work), self.least)


def interpreter(*words: str, env: Mapping[str, str] | None = None) -> Callable[[], object]:
    """Runs Python with these words, which must succeed."""
    return partial(subprocess.run, [sys.executable, *words], env=dict(env or os.environ), capture_output=True, text=True, check=True)


def needed_imports(env: Mapping[str, str] | None = None) -> Yardstick:
    """The unit of commands: a fresh interpreter that imports the two libraries that every command needs."""
    return Yardstick(interpreter("-c", "import typer, pydantic", env=env))
