"""Promises of renderers: a file with the right name and the right steps, the same bytes each time, and nothing where nobody is."""

from __future__ import annotations

import re

import numpy as np

from twm_core.data.renderer import Drawn
from twm_core.errors import DataError
from twm_core.testing.checks.check import Check
from twm_core.testing.failure import broken
from twm_core.testing.subjects.renderer import NOBODY, STEPS, RendererSubject


def files_are_written(subject: RendererSubject) -> None:
    """It has a `suffix` such as `.png`, writes the file that it is told to, and says which agents and steps the file shows."""
    suffix = getattr(subject.instance, "suffix", None)
    if not isinstance(suffix, str) or not re.fullmatch(r"\.[a-z0-9]+", suffix):
        broken(f"its suffix is {suffix!r}", 'name the files that it writes, as in suffix = ".png"')
    drawn = subject.draw("all")
    if not isinstance(drawn, Drawn):
        broken(f"draw returns a {type(drawn).__name__}", "return twm_core.data.renderer.Drawn")
    expected = subject.folder / f"all{suffix}"
    if drawn.path != expected or not expected.is_file() or not expected.stat().st_size:
        broken(f"it says that it wrote {drawn.path}, and was told to write {expected}", "write the whole file at `path`")
    if drawn.agents != len(subject.scenario.track) or drawn.frames < 1 or drawn.every < 1:
        broken(f"it says that {drawn.agents} agents are shown in {drawn.frames} frames; there are {len(subject.scenario.track)}")


def same_scenario_same_bytes(subject: RendererSubject) -> None:
    """Drawn twice, also by another instance, the files have the same bytes: no date, no random number."""
    one, two = subject.draw("one"), subject.draw("two")
    other = subject.build().draw(subject.scenario, two.path.with_stem("three"))
    if not one.path.read_bytes() == two.path.read_bytes() == other.path.read_bytes():
        broken("the same scenario gives other bytes", "write no date into the file, and draw nothing at random")


def steps_are_obeyed(subject: RendererSubject) -> None:
    """With `first` and `last` only these steps are shown, and a `last` beyond the end means the end."""
    drawn = subject.draw("part", first=4, last=9)
    if (drawn.first, drawn.last) != (4, 9):
        broken(f"asked for steps 4 to 9 it shows {drawn.first} to {drawn.last}", "pass the steps on")
    if drawn.agents != 2:
        broken(f"of steps 4 to 9 it says that they show {drawn.agents} agents; there are 2")
    beyond = subject.draw("beyond", first=25, last=STEPS + 50)
    if beyond.last != STEPS - 1:
        broken(f"asked for steps up to {STEPS + 50} of {STEPS} it shows {beyond.first} to {beyond.last}", "end with the scenario")


def nobody_is_a_data_error(subject: RendererSubject) -> None:
    """Steps in which nobody is there are refused with a `DataError`, and nothing is written."""
    try:
        subject.draw("nobody", first=NOBODY[0], last=NOBODY[1])
    except DataError:
        left = list(subject.folder.glob("nobody*"))
        if left:
            broken(f"it refuses and leaves {left[0].name} behind", "look before you write")
        return
    broken("it draws a picture of nobody", "raise DataError where no agent is seen between the steps")


def scenario_stays_as_it_is(subject: RendererSubject) -> None:
    """Drawing changes nothing in the scenario."""
    before = {n: getattr(subject.scenario, n).copy() for n in ("state", "code", "first", "length", "type")}
    subject.draw("stays")
    for name, value in before.items():
        if not np.array_equal(getattr(subject.scenario, name), value, equal_nan=name == "state"):
            broken(f"{name} of the scenario was changed", "copy before you write into an array")


RENDERER = (
    Check(files_are_written, needs=("builds_its_kind",)),
    Check(scenario_stays_as_it_is, needs=("files_are_written",)),
    Check(same_scenario_same_bytes, needs=("files_are_written", "scenario_stays_as_it_is")),
    Check(steps_are_obeyed, needs=("files_are_written", "scenario_stays_as_it_is")),
    Check(nobody_is_a_data_error, needs=("steps_are_obeyed",)),
)
