"""Every command that writes a store, killed at every one of its operations on files, continues to the bytes of an undisturbed one.

`tests/core/data/test_importing.py` kills imports of every kind at some of their operations; here it is every operation of every command.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from faulty_disk import Counter, counted, killed_at
from works import NAMES, Work, former_state_opens, fresh, nothing_is_left, result, unfinished


@pytest.mark.parametrize("name", NAMES)
def test_a_command_that_is_killed_at_any_operation_is_continued_to_the_same_bytes(
    name: str, works: dict[str, Work], tmp_path: Path
) -> None:
    work, place = works[name], tmp_path / "place"
    fresh(work, place)
    with counted(Counter()) as undisturbed:
        work.do(place)
    wanted = result(work, place)
    assert len(undisturbed.names) >= 3, undisturbed.names
    to_continue = 0
    for at in range(2 * len(undisturbed.names)):
        fresh(work, place)
        if not killed_at(at, lambda: work.do(place)):
            break
        former_state_opens(work, place)
        if result(work, place) != wanted or unfinished(place):
            to_continue += 1
            work.do(place)
            nothing_is_left(work, place)
        assert result(work, place) == wanted, f"killed at operation {at}"
    assert abs(at - len(undisturbed.names)) <= 3  # flushing to disk now and then depends on the clock
    assert to_continue
