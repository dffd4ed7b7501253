"""Cuts rows, which come in any order, into pieces of one group and a bounded stretch of time, in bounded memory.

A group is what one track name belongs to (a clip, a recording, a site). Time is counted in steps of the group, and a piece begins at the
first of its steps that has a row. A track that crosses a cut is in both pieces, under the same name, so that a split by track keeps them
together. `Pieces` returns the columns as they were added; `pieces` takes and returns `Rows`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.spill import Group, Spill
from twm_core.data.importing.tracks import Rows
from twm_core.errors import DataError

LAST_STEP = 50_000_000
"""The last step that a row may have, 19 days at 30 Hz: a later one is a wrong number."""

MOST_STEPS = 10_000_000
"""Steps of the longest piece."""

_PER_ROW = ("code", "lane", "leader", "follower")


@dataclass(frozen=True)
class Piece:
    """One stretch of one group.

    Attributes:
        group: The group.
        number: Number of the piece within the group, from 0.
        of: How many pieces the group has.
        begin: Its first step, counted as in the rows that were added.
    """

    group: Group
    number: int
    of: int
    begin: int

    def name(self, name: str) -> str:
        """`name` itself where the group is in one piece, else with the piece's number."""
        return name if self.of == 1 else f"{name}/{self.number:04d}"


@dataclass(frozen=True)
class ColumnsPiece(Piece):
    """A piece as columns.

    Attributes:
        step: int64 `[R]`, counted from `begin`.
        columns: What was given to `Pieces.add`, `[R]` each, with `line`. Clear it when it is used up: it is large.
    """

    step: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class RowsPiece(Piece):
    """A piece as rows, with steps that count from `begin`."""

    rows: Rows


class Pieces:
    """Collects rows of a file and yields them as pieces, in order of group and time; a context manager.

    Args:
        file: Name of the file, for messages.
        steps: Most steps of a piece, 0 for any number.
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

    def add(self, group: NDArray[Any] | Group, step: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows: their groups, their steps, and `columns`, among which must be `line`, the number of each row in the file."""
        bucket = step // self.steps if self.steps else np.zeros_like(step)
        self._spill.add(group, bucket, {"step": step, **columns})

    def __iter__(self) -> Iterator[ColumnsPiece]:
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
            yield ColumnsPiece(group, number[group], of[group], begin, step - begin, columns)
            number[group] += 1


def pieces(chunks: Iterable[tuple[NDArray[Any] | Group, Rows]], *, file: str, dt: float, scenario_seconds: float) -> Iterator[RowsPiece]:
    """The rows of a file in pieces of `scenario_seconds`, in order of group and time.

    Args:
        chunks: Group (one for all rows, or one for each) and rows, as they are read. All have the same columns.
        file: For messages.
        dt: Seconds between steps.
        scenario_seconds: Length of a piece; 0 for any length.

    Raises:
        DataError: A step is negative or beyond `LAST_STEP`, or a piece has more than `MOST_STEPS`.
    """
    steps = max(1, round(scenario_seconds / dt)) if scenario_seconds else 0
    no_track: Any = 0
    numbered = True
    with Pieces(file, steps) as collected:
        for group, rows in chunks:
            no_track, numbered = rows.no_track, rows.line is not None
            line = np.arange(collected.rows + 1, collected.rows + 1 + len(rows.step)) if rows.line is None else rows.line
            far = np.flatnonzero((rows.step < 0) | (rows.step > LAST_STEP))
            if len(far):
                at = int(far[0])
                raise DataError(
                    f"{file}, row {int(line[at])}: its time, step {int(rows.step[at])}, is impossible", "repair or remove the row"
                )
            extra = {n: getattr(rows, n) for n in _PER_ROW if getattr(rows, n) is not None}
            columns = {f"column {n}": v for n, v in rows.columns.items()}
            collected.add(group, rows.step, {"track": rows.track, "type": rows.type, "line": line, **extra, **columns})
        for piece in collected:
            held = piece.columns
            rows = Rows(
                track=held["track"],
                step=piece.step,
                columns={n.removeprefix("column "): v for n, v in held.items() if n.startswith("column ")},
                type=held["type"],
                no_track=no_track,
                line=held["line"] if numbered else None,
                **{n: held.get(n) for n in _PER_ROW},
            )
            yield RowsPiece(piece.group, piece.number, piece.of, piece.begin, rows)
