"""From the rows of a file, in any order, to recordings of bounded length, in order of time.

Every row belongs to a group (within which one track name is one agent) and to a step of it. Rows are set aside by group and stretch of
time (`twm_core.data.spill`) and come back as pieces, each of which becomes a recording that begins at its first step with rows. Unlike
those of `twm_core.data.pieces`, these rows are as the file has them: what they mean (types, lanes, headings) is settled when all are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.spill import Group, Spill
from twm_core.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FARTHEST = 1e8
"""Metres from the origin beyond which a position cannot be meant."""

MOST_STEPS = 10_000_000
"""Steps of the longest recording."""


@dataclass(frozen=True)
class Piece:
    """The rows of one recording.

    Attributes:
        group: The group they belong to.
        number: Number of the piece within the group, from 0.
        of: How many pieces the group has.
        begin: Step of the group at which the recording begins.
        step: int64 `[R]`, counted from `begin`.
        columns: What was given to `Pieces.add`, `[R]` each, with `line`. Clear it when it is used up: it is large.
    """

    group: Group
    number: int
    of: int
    begin: int
    step: Ints
    columns: dict[str, NDArray[Any]]

    def name(self, group: str) -> str:
        """The id of the recording: the name of its group, with the piece's number where the group has several."""
        return group if self.of == 1 else f"{group}/{self.number:04d}"


class Pieces:
    """Rows of a file on their way to recordings; a context manager.

    Args:
        file: Name of the file, for messages.
        steps: Most steps of a recording, 0 for any number.
    """

    def __init__(self, file: str, steps: int) -> None:
        self.file, self.steps = file, steps
        self._spill = Spill()

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._spill.__exit__(kind, error, trace)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self._spill.rows

    def add(self, group: NDArray[Any] | Group, step: Ints, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows: their groups, their steps, and `columns`, among which must be `line`, the number of each row in the file."""
        bucket = step // self.steps if self.steps else np.zeros_like(step)
        self._spill.add(group, bucket, {"step": step, **columns})

    def __iter__(self) -> Iterator[Piece]:
        of = Counter(group for group, _ in self._spill.keys)
        number = Counter[Group]()
        for group, _, columns in self._spill.buckets():
            step = columns.pop("step")
            begin, end = int(step.min()), int(step.max())
            if end - begin >= MOST_STEPS:
                first, last = (int(columns["line"][i]) for i in (np.argmin(step), np.argmax(step)))
                raise DataError(
                    f"{self.file}: {end - begin} steps lie between row {first} and row {last}",
                    "repair the time of one of the two, or cut recordings with scenario_seconds",
                )
            yield Piece(group, number[group], of[group], begin, step - begin, columns)
            number[group] += 1


def check_positions(file: str, line: Ints, x: Floats, y: Floats) -> None:
    """Raise a `DataError` for the first row whose position, in metres, lies beyond `FARTHEST`."""
    bad = ~((np.abs(x) <= FARTHEST) & (np.abs(y) <= FARTHEST))
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(
            f"{file}, row {int(line[at])}: the position ({x[at]:g}, {y[at]:g}) m is impossible ({int(bad.sum())} such rows)",
            "repair or remove the row, or correct the unit",
        )


def check_sizes(file: str, line: Ints, sizes: Mapping[str, Floats]) -> dict[str, Floats]:
    """Lengths and widths in metres, with NaN for those that are 0 or not given.

    Raises:
        DataError: A size is negative, or beyond 100 m.
    """
    checked = {}
    for name, values in sizes.items():
        bad = (values < 0) | (values > 100)
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(
                f"{file}, row {int(line[at])}: a {name} of {values[at]:g} m is impossible ({int(bad.sum())} such rows)",
                "repair or remove the row, or correct the unit",
            )
        checked[name] = np.where(values > 0, values, np.nan)
    return checked
