"""Every operation on files of every writing command meets a disk that is full, over its quota, at its largest file or read-only.

Each time: one `TwmError`, the former state opens, and once there is room the same command comes to the end of an undisturbed one.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from faulty_disk import FULL, Counter, contents, counted, refusing
from works import NAMES, Work, former_state_opens, fresh, nothing_is_left, result, unfinished

from twm_core.checkpoint.files import save_checkpoint
from twm_core.checkpoint.manifest import RunFolder, verify_files
from twm_core.errors import TwmError
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import file_layer, option_layer, resolve
from twm_core.training import loop as training_loop
from twm_core.training.run import train


def refusal(disk: Counter, do: Callable[[], object]) -> TwmError | None:
    """The error that ends some work on a disk; None if it comes to its end."""
    try:
        with counted(disk):
            do()
    except TwmError as error:
        return error
    return None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", range(2), ids=["full", "read-only"])
def test_a_disk_that_refuses_any_operation_loses_nothing(name: str, offset: int, works: dict[str, Work], tmp_path: Path) -> None:
    work, place = works[name], tmp_path / "place"
    fresh(work, place)
    with counted(Counter()) as undisturbed:
        work.do(place)
    wanted = result(work, place)
    refused = 0
    for at in range(len(undisturbed.names)):
        fresh(work, place)
        number = errno.EROFS if offset else FULL[at % len(FULL)]
        disk = refusing(at, number)
        told = f"operation {at} of {name}"
        error = refusal(disk, lambda: work.do(place))
        if error is None:  # what was refused is not needed for the result
            assert result(work, place) == wanted, told
            continue
        refused += 1
        assert error.hint, told
        assert "\n" not in error.message, told
        assert disk.failed, told
        former_state_opens(work, place)
        if result(work, place) != wanted or unfinished(place):
            work.do(place)
            nothing_is_left(work, place)
        assert result(work, place) == wanted, told
    assert refused >= 2


@pytest.fixture(scope="module")
def trained(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run of two steps, and what its last checkpoint was saved with."""
    kept: dict[str, Any] = {}

    def keeping(run: RunFolder, **given: Any) -> Path:
        kept.update(given)
        return save_checkpoint(run, **given)

    path = tmp_path_factory.mktemp("trained") / "run"
    layers = [file_layer(Path(__file__).parents[1] / "tiny.toml"), option_layer("training.steps", 2, "test")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "save_checkpoint", keeping)
        train(assemble(resolve(layers), registry), registry, path)
    return path, kept


@pytest.mark.parametrize("number", [*FULL, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_refuses_any_operation_of_saving_leaves_the_last_checkpoint(
    number: int, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    before, given = trained
    given = {**given, "step": 3, "best": True}
    shutil.copytree(before, tmp_path / "whole")
    with counted(Counter()) as undisturbed:
        save_checkpoint(RunFolder(tmp_path / "whole"), **given)
    refused = 0
    for at in range(len(undisturbed.names)):
        run = RunFolder(shutil.copytree(before, tmp_path / f"run-{at}"))
        error = refusal(refusing(at, number), partial(save_checkpoint, run, **given))
        assert verify_files(run.find("latest"))["step"] in (2, 3)
        assert verify_files(run.find("best"))["step"] in (2, 3)
        if error is not None:
            refused += 1
            assert "cannot write checkpoint" in error.message
            assert f"the last good checkpoint is {run.find('latest')}" in str(error.hint)
            save_checkpoint(run, **given)
        assert contents(run.path) == contents(tmp_path / "whole"), f"operation {at}"
    assert refused > 5
