"""Every operation on files of every writing command meets a disk that is full, over its quota, at its largest file or read-only.

Each time: one `TwmError`, the former state opens, and once there is room the same command comes to the end of an undisturbed one.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_disk import FULL, Counter, counted, refusing
from works import NAMES, Work, former_state_opens, fresh, nothing_is_left, result, unfinished

from twm_core.errors import TwmError


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
