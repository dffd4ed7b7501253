"""Every training in a run folder with every other one: the first is stopped at each of its file operations, and the second tries there.

Whatever the moment, at most one of them is refused, a refused one changes nothing, and the folder is that of one training.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stops import Stops

from twm_core.checkpoint.manifest import RunFolder, verify_files
from twm_core.errors import BusyError, CheckpointError
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.training.run import train

RATES = {"first": 1e-3, "second": 2e-3}
"""Learning rates by which the recipes of the two are told apart."""

STARTS: dict[str, dict[str, Any]] = {
    "train": {},
    "resume": {"resume": True},
    "from": {"resume": True, "start": "step-1"},
}
STEPS = {"train": 2, "resume": 3, "from": 3}

Work = Callable[[str, Path, str], None]
Refusal = BusyError | CheckpointError | None


@pytest.fixture(scope="module")
def work(tiny: Callable[..., Plan], registry: Registry) -> Work:
    """Trains: how it starts, the folder, and whose learning rate."""

    def do(start: str, run: Path, role: str) -> None:
        changes = {"training.steps": STEPS[start], "training.lr": RATES[role], "training.checkpoint_every": 1, "training.keep": 9}
        train(tiny({**changes, "training.validate_every": 2}), registry, run, **STARTS[start])

    return do


@pytest.fixture(scope="module")
def begun(work: Work, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, with a checkpoint of each."""
    run = tmp_path_factory.mktemp("begun") / "run"
    work("train", run, "first")
    return run


def fresh(start: str, begun: Path, run: Path) -> None:
    """What is there when the first one starts."""
    shutil.rmtree(run, ignore_errors=True)
    if start != "train":
        shutil.copytree(begun, run)


def outcome(do: Callable[[], None]) -> Refusal:
    try:
        do()
    except (BusyError, CheckpointError) as error:
        return error
    return None


def contents(run: Path) -> dict[str, bytes]:
    """All that the main thread of a training writes."""
    files = [p for p in sorted(run.rglob("*")) if p.is_file() and p.name != ".lock" and not p.name.startswith("events.")]
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in files}


def meet(work: Work, run: Path, starts: dict[str, str], stops: Stops, stop: int) -> dict[str, Refusal]:
    """What became of two trainings of which the second is started at one operation of the first.

    Args:
        work: Trains.
        run: The folder.
        starts: How each of the two starts, by role.
        stops: Counts operations.
        stop: The operation of the first one.
    """
    refusals: dict[str, Refusal] = {}

    def second() -> None:
        refusals["second"] = outcome(lambda: work(starts["second"], run, "second"))

    def first() -> None:
        stops.run(lambda: work(starts["first"], run, "first"), stop, second)

    refusals["first"] = outcome(first)
    return refusals


def check(run: Path, steps: int, roles: set[str]) -> None:
    """That the folder is whole and of one training.

    Args:
        run: The folder.
        steps: How far it came.
        roles: Who may have written its recipe: those that were not refused.
    """
    folder = RunFolder(run)
    assert verify_files(folder.find("latest"))["step"] == steps
    verify_files(folder.find("best"))
    assert folder.names() == [f"step-{n + 1}" for n in range(steps)]
    for name in folder.names():
        verify_files(folder.checkpoints / name)
    rows = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [row["step"] for row in rows if "train.loss" in row] == [n + 1 for n in range(steps)]
    rate = tomllib.loads(folder.recipe.read_text())["training"]["lr"]
    assert rate in {RATES[role] for role in roles}
    assert not list(run.rglob(".unfinished-*"))
    assert not (run / ".lock").exists()


@pytest.mark.parametrize("second", STARTS)
@pytest.mark.parametrize("first", STARTS)
def test_another_training_may_be_started_at_any_moment(
    work: Work, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    run, stops = tmp_path / "run", Stops(monkeypatch)
    fresh(first, begun, run)
    at_work: list[bool] = []

    def refused() -> None:
        """Tries while the first one holds the folder; where it does not yet, or no longer, nothing is tried here."""
        at_work.append((run / ".lock").exists())
        if at_work[-1]:
            before = contents(run)
            assert outcome(lambda: work(second, run, "second")) is not None
            assert contents(run) == before

    total = stops.run(lambda: work(first, run, "first"), None, refused)
    assert total == len(at_work) > 20
    assert sum(at_work) > 20
    check(run, STEPS[first], {"first"})

    # Before the first one has taken the folder, and after it has left it, the second one may be the one that trains.
    for stop in (i for i, held in enumerate(at_work) if not held):
        fresh(first, begun, run)
        starts = {"first": first, "second": second}
        refusals = meet(work, run, starts, stops, stop)
        assert set(refusals) == set(starts)
        done = {role for role, refusal in refusals.items() if refusal is None}
        assert done, refusals
        check(run, max(STEPS[starts[role]] for role in done), done)
