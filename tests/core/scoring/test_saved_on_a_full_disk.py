"""A result that cannot be written leaves the former one as it was, with its sums."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twm_core.errors import DataError
from twm_core.evaluation import saved
from twm_core.evaluation.engine import Scored

OPERATIONS = ("open", "fsync", "replace")


def scored(value: float) -> Scored:
    one = np.zeros(3, dtype=np.int64)
    return Scored(sums={"model": {"displacement": np.full((3, 2), value)}}, vehicle=one, window=one, scenario=one, digest="d")


def write(file: Path, value: float) -> None:
    saved.write(file, {"comparable": {"data": "d"}, "value": value}, scored(value))


def value(file: Path) -> tuple[float, float]:
    found = saved.read(file)
    return found.result["value"], float(found.scored.sums["model"]["displacement"][0, 0])


@pytest.mark.parametrize("at", range(1, 12))
def test_a_full_disk_at_any_operation_leaves_a_whole_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    file = tmp_path / "r.json"
    write(file, 1.0)
    count = 0

    def failing(honest: Callable[..., Any]) -> Callable[..., Any]:
        def act(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count >= at:
                raise OSError(28, "No space left on device")
            return honest(*given, **named)

        return act

    with monkeypatch.context() as patched:
        for name in OPERATIONS:
            patched.setattr(os, name, failing(getattr(os, name)))
        try:
            write(file, 2.0)
        except DataError as error:
            assert error.message == f"cannot write {file}: No space left on device"  # noqa: PT017
            refused = True
        else:
            refused = False
    assert refused == (count >= at)
    assert value(file) in ((1.0, 1.0), (2.0, 2.0))
    write(file, 3.0)
    assert value(file) == (3.0, 3.0)


def test_the_sums_of_a_former_result_are_removed(tmp_path: Path) -> None:
    for number in (1.0, 2.0, 2.0):
        write(tmp_path / "r.json", number)
        assert len(list(tmp_path.glob("r-*.safetensors"))) == 1
        assert value(tmp_path / "r.json") == (number, number)
