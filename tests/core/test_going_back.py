"""`--from`: a run goes on from an earlier checkpoint, and what came after it is moved away, not removed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from twm_core.checkpoint.manifest import RunFolder
from twm_core.errors import CheckpointError
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.training.going_back import go_back
from twm_core.training.run import train


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def steps(file: Path) -> list[int]:
    return [json.loads(line)["step"] for line in file.read_text().splitlines()]


def test_a_run_goes_on_from_an_earlier_checkpoint_and_ends_as_before(
    run: Path, trained: Path, tiny: Callable[..., Plan], registry: Registry
) -> None:
    (earlier, last) = RunFolder(run).names()
    before, metrics = contents(run / "checkpoints" / last), (run / "metrics.jsonl").read_bytes()
    train(tiny(), registry, run, resume=True, start=earlier)
    assert contents(run / "aside-1" / last) == before
    assert (run / "aside-1" / "metrics.jsonl").read_bytes() == metrics
    assert contents(run / "checkpoints" / last) == contents(trained / "checkpoints" / last)
    assert steps(run / "metrics.jsonl") == steps(trained / "metrics.jsonl")


def test_the_last_checkpoint_moves_nothing(run: Path) -> None:
    before = contents(run)
    assert go_back(RunFolder(run), RunFolder(run).names()[-1]) is None
    assert contents(run) == before


def test_a_pointer_to_a_checkpoint_that_was_moved_is_kept_aside(run: Path) -> None:
    folder = RunFolder(run)
    earlier, last = folder.names()
    (folder.checkpoints / "best").write_text(last + "\n")
    aside = go_back(folder, earlier)
    assert aside is not None
    assert (aside / "best").read_text() == last + "\n"
    assert folder.pointed("latest") == earlier
    assert not (folder.checkpoints / "best").exists()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_kill_in_between_loses_no_checkpoint(at: int, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(run)
    earlier, last = folder.names()
    shutil.copytree(folder.checkpoints / last, folder.checkpoints / "step-13")
    honest, calls = __import__("os").replace, [0]

    def killed(source: Path, target: Path) -> None:
        if calls[0] == at:
            raise ConnectionError
        calls[0] += 1
        honest(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(ConnectionError):
            go_back(folder, earlier)
    go_back(folder, earlier)
    assert folder.names() == [earlier]
    assert folder.find("latest").name == earlier
    assert {p.name for p in run.glob("aside-*/step-*")} == {last, "step-13"}


def test_a_checkpoint_that_is_not_there_is_refused(run: Path, tiny: Callable[..., Plan], registry: Registry) -> None:
    with pytest.raises(CheckpointError, match=r"has no checkpoint 'step-7'\n.*it has step-"):
        train(tiny(), registry, run, resume=True, start="step-7")
