"""Recordings of small files, and single rows of them, for the tests of the readers of tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twm_core.data.importing.reader import Reader, Skipped
from twm_core.data.recording import Recording
from twm_core.data.scenario import OBSERVED

Read = Callable[..., list[Recording]]
Row = Callable[..., dict[str, float]]


@pytest.fixture
def read() -> Read:
    """All recordings below these paths."""

    def everything(reader: Reader, *paths: Path) -> list[Recording]:
        found = [made for source in reader.sources(paths) for made in reader.read(source)]
        return [made for made in found if not isinstance(made, Skipped)]

    return everything


@pytest.fixture
def row() -> Row:
    """The values of a track at a step, with its neighbours and lane by name."""

    def of(made: Recording, track: str, step: int) -> dict[str, Any]:
        i = made.track.index(track)
        at = int(made.offset[i]) + step - int(made.first[i])
        assert made.code[at] == OBSERVED
        values: dict[str, Any] = {name: float(column[at]) for name, column in made.columns.items()}
        for name, numbers in (("leader", made.leader), ("follower", made.follower)):
            if numbers is not None:
                values[name] = made.track[numbers[at]] if numbers[at] >= 0 else int(numbers[at])
        if made.lane is not None:
            values["lane"] = made.lane_names[made.lane[at] - 1] if made.lane[at] else None
        return values

    return of


def angle_between(a: float, b: float) -> float:
    """Size of the difference of two angles."""
    return abs(float(np.angle(np.exp(1j * (a - b)))))
