"""A run folder belongs to one training at a time, and files of the user in it stay as they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from twm_core.checkpoint.manifest import RunFolder
from twm_core.errors import BusyError, CheckpointError
from twm_core.locking import run_lock, write_lock
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.training.run import train
from twm_core.training.run_claim import check_claim, claimed, recipe_text, written_by_training


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("name", ["recipe.toml", "metrics.jsonl", "tensorboard/events", "checkpoints/notes.txt"])
def test_a_folder_with_files_of_the_user_is_refused_and_left_alone(
    name: str, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("# notes of mine\n")
    (tmp_path / ".unfinished-mine").write_text("")
    before = contents(tmp_path)
    with pytest.raises(CheckpointError, match=name.partition("/")[0] + r", which twm train did not write.*\n.*another --run, or move"):
        train(tiny(), registry, tmp_path)
    assert contents(tmp_path) == before


def test_a_recipe_of_training_that_was_edited_is_a_file_of_the_user(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe_text({"training": {"steps": 3}}))
    assert written_by_training(recipe)
    check_claim(RunFolder(tmp_path), resume=False)
    recipe.write_text(recipe.read_text().replace("3", "4"))
    assert not written_by_training(recipe)
    with pytest.raises(CheckpointError, match="changed since"):
        check_claim(RunFolder(tmp_path), resume=False)


def test_other_files_in_the_folder_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with claimed(tmp_path, resume=False):
        pass
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), claimed(tmp_path / "a" / "b", resume=False):
        raise RuntimeError
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_training_in_a_folder_is_refused_and_harms_nothing(
    resume: bool, trained: Path, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if resume:
        shutil.copytree(trained, run)
    else:
        run.mkdir()
    with write_lock(run_lock(run), "run"):
        before = contents(run)
        with pytest.raises(BusyError, match="is being written by process"):
            train(tiny({"training.steps": 14}), registry, run, resume=resume)
        assert contents(run) == before


def test_the_check_for_checkpoints_is_made_again_under_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another training may have written its first checkpoint and ended between a first look and the lock."""
    from twm_core.training import run_claim

    honest, run = run_claim.write_lock, tmp_path / "run"

    def late(file: Path, what: str) -> object:
        (run / "checkpoints" / "step-1").mkdir(parents=True)
        (run / "checkpoints" / "step-1" / "manifest.json").write_text("{}")
        return honest(file, what)

    monkeypatch.setattr(run_claim, "write_lock", late)
    with pytest.raises(CheckpointError, match="already holds checkpoints"), claimed(run, resume=False):
        pytest.fail("the folder was taken")
