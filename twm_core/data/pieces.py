"""Cuts streams of rows into scenarios of bounded length: rows in any order go in, those of one group and stretch of time come out together.

Time is counted in steps of the recording. A piece begins at the first of its steps that has a row. Tracks that cross a cut stand in both
pieces, under the same name, so that a split by track keeps them together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.spill import Group, Spill
from twm_core.data.tracks import Rows
from twm_core.errors import DataError

MOST_STEPS = 50_000_000
"""Steps of the longest recording, 19 days at 30 Hz: what counts further is a broken number, not a time."""

_PER_ROW = ("code", "lane", "leader", "follower", "line")


@dataclass(frozen=True)
class Piece:
    """One stretch of one group.

    Attributes:
        group: The group.
        number: Of this piece among those of the group, from 0.
        of: How many pieces the group has.
        begin: Its first step, counted as in the rows that were given.
        rows: Its rows, whose steps count from `begin`.
    """

    group: Group
    number: int
    of: int
    begin: int
    rows: Rows

    def name(self, name: str) -> str:
        """`name` itself where the group is in one piece, else with the piece's number."""
        return name if self.of == 1 else f"{name}/{self.number:04d}"


def pieces(chunks: Iterable[tuple[NDArray[Any] | Group, Rows]], *, file: str, dt: float, scenario_seconds: float) -> Iterator[Piece]:
    """The rows of a file in pieces of `scenario_seconds`, in order of group and time.

    Args:
        chunks: Group (one for all rows, or one for each) and rows, as they are read. All have the same columns.
        file: For messages.
        dt: Seconds between steps.
        scenario_seconds: Length of a piece; 0 for any length.

    Raises:
        DataError: A step is negative or beyond `MOST_STEPS`.
    """
    steps = max(1, round(scenario_seconds / dt)) if scenario_seconds else 0
    no_track: Any = 0
    with Spill() as spill:
        for group, rows in chunks:
            no_track = rows.no_track
            far = np.flatnonzero((rows.step < 0) | (rows.step > MOST_STEPS))
            if len(far):
                row = int(far[0])
                line = row + 1 if rows.line is None else int(rows.line[row])
                raise DataError(f"{file}, row {line}: its time, step {int(rows.step[row])}, is impossible", "repair or remove the row")
            extra = {n: getattr(rows, n) for n in _PER_ROW if getattr(rows, n) is not None}
            columns = {f"column {n}": v for n, v in rows.columns.items()}
            bucket = rows.step // steps if steps else np.zeros_like(rows.step)
            spill.add(group, bucket, {"track": rows.track, "step": rows.step, "type": rows.type, **extra, **columns})
        of = Counter(group for group, _ in spill.keys)
        number: Counter[Group] = Counter()
        for bucket in spill.buckets():
            held = bucket.columns
            begin = int(held["step"].min())
            rows = Rows(
                track=held["track"],
                step=held["step"] - begin,
                columns={n.removeprefix("column "): v for n, v in held.items() if n.startswith("column ")},
                type=held["type"],
                code=held.get("code"),
                lane=held.get("lane"),
                leader=held.get("leader"),
                follower=held.get("follower"),
                no_track=no_track,
                line=held.get("line"),
            )
            yield Piece(bucket.group, number[bucket.group], of[bucket.group], begin, rows)
            number[bucket.group] += 1
