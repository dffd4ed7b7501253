"""Reporters: plain lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from twm_cli.progress import TerminalReporter, reporter
from twm_core.reporting import PlainReporter, Reporter


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_plain_lines_come_with_each_tenth_and_the_last_one() -> None:
    stream = io.StringIO()
    plain = PlainReporter(stream=stream, clock=Clock())
    for step in range(1, 101):
        plain.progress(step, 100, {"loss": 1 / step})
    plain.finish()
    lines = stream.getvalue().splitlines()
    assert [line.partition("  loss")[0] for line in lines] == [f"step {s:>3}/100" for s in range(10, 101, 10)]
    assert lines[-1] == "step 100/100  loss 0.01"


def test_plain_lines_come_after_ten_seconds_without_one() -> None:
    stream, clock = io.StringIO(), Clock()
    plain = PlainReporter(stream=stream, clock=clock)
    for step in range(1, 50):
        clock.seconds += 4
        plain.progress(step, 1000, {})
    assert stream.getvalue().count("\n") == 49 // 3


def test_the_last_progress_of_interrupted_work_is_written_once() -> None:
    stream = io.StringIO()
    plain = PlainReporter(unit="window", stream=stream, clock=Clock())
    plain.progress(1, 100, {"loss": 2.0})
    plain.finish()
    plain.finish()
    assert stream.getvalue() == "window   1/100  loss 2\n"


def test_a_second_piece_of_work_starts_from_the_beginning() -> None:
    stream = io.StringIO()
    plain = PlainReporter(stream=stream, clock=Clock())
    for step in (5, 10, 1, 2):
        plain.progress(step, 10, {})
    assert stream.getvalue().splitlines() == ["step  5/10", "step 10/10", "step  1/10", "step  2/10"]


def test_the_terminal_shows_metrics_beside_a_bar_and_notes_verbatim() -> None:
    stream = io.StringIO()
    terminal = TerminalReporter(console=Console(file=stream, force_terminal=True, width=100))
    terminal.note("shape [B T A]")
    terminal.progress(1, 4, {"loss": 0.5})
    terminal.progress(4, 4, {})
    terminal.finish()
    terminal.finish()
    assert "shape [B T A]" in stream.getvalue()
    assert "4/4" in stream.getvalue()
    assert "loss 0.5" in stream.getvalue()


def test_a_pipe_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    plain = reporter()
    assert isinstance(plain, PlainReporter)
    plain.note("hello")
    assert capsys.readouterr().err == "hello\n"


def test_the_base_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    silent = Reporter()
    silent.note("hello")
    silent.progress(1, 1, {})
    silent.finish()
    assert capsys.readouterr() == ("", "")


def test_counts_are_written_in_full_and_measures_to_four_digits() -> None:
    stream = io.StringIO()
    plain = PlainReporter(unit="source", stream=stream, clock=Clock())
    plain.progress(1, 1, {"scenarios": 1234567, "loss": 1234567.0})
    assert stream.getvalue() == "source 1/1  scenarios 1234567  loss 1.235e+06\n"


def test_long_work_in_one_piece_shows_life_every_ten_seconds() -> None:
    stream, clock = io.StringIO(), Clock()
    plain = PlainReporter(unit="source", stream=stream, clock=clock)
    for scenario in range(1, 36):
        clock.seconds += 1
        plain.progress(0, 1, {"scenarios": scenario})
    assert stream.getvalue().splitlines() == [f"source 0/1  scenarios {n}" for n in (10, 20, 30)]
