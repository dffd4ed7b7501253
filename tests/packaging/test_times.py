"""No test reads a clock but through `cpu`, which gives ratios only, so that none of them asserts how fast a machine is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLOCKS = re.compile(r"(process_time|perf_counter|thread_time|getrusage|timeit|time\.(monotonic|time)|os\.times)(_ns)?\b")
DEADLINE = re.compile(r"\bdeadline *= *(?!None\b)")
"""Hypothesis fails an example that takes longer than its deadline."""

MAY = {ROOT / "tests/cpu.py": "measures", Path(__file__): "searches for it"}
FILES = sorted(
    f
    for f in (
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "examples").rglob("test_*.py"),
        *(ROOT / "twm_core/plugin/templates").rglob("test_*"),
    )
    if f not in MAY
)


def clocks(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if CLOCKS.search(line) or DEADLINE.search(line)]


def test_no_test_reads_a_clock_or_sets_a_deadline() -> None:
    assert len(FILES) > 200
    found = {str(f.relative_to(ROOT)): lines for f in FILES if (lines := clocks(f.read_text(encoding="utf-8")))}
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "begin = time.process_time()",
        "spent = resource.getrusage(resource.RUSAGE_CHILDREN)",
        "while time.monotonic() < end:",
        "assert perf_counter_ns() - begin < 10",
        "@settings(deadline=200)",
    ],
)
def test_a_clock_would_be_found(line: str) -> None:
    assert clocks(line) == [line]


@pytest.mark.parametrize(
    "line", ["@settings(deadline=None)", "def test_it_is_monotonic():", "r.times(2)", "scenario.time = 3", "wall_time < 2"]
)
def test_what_is_no_clock_is_not_found(line: str) -> None:
    assert clocks(line) == []
