"""Checks the values of rows before they become a recording: finite, and within what can be on a road.

Positions must be there. Elsewhere NaN says "not known"; infinities and numbers that no road has are refused. Sizes that are not positive
are unknown and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.errors import DataError

Floats = NDArray[np.float64]

LARGEST = {"x": 1e8, "y": 1e8, "heading": 1e6, "vx": 1e4, "vy": 1e4, "ax": 1e5, "ay": 1e5, "length": 1e3, "width": 1e3, "height": 1e3}
"""Largest absolute value of each column that is believed, in the units of `twm_core.data.recording.COLUMNS`."""

SIZES = ("length", "width", "height")


def brief(value: Any) -> str:
    """The value in few words, for names and messages: safe for values that nest without end, are huge, or are no valid text."""
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return "a huge number"
    if value is None or isinstance(value, (str, int, float)):
        # Files can hold halves of characters, which no file written later could.
        return str(value)[:200].encode("utf-8", "backslashreplace").decode()
    return f"a {type(value).__name__}"


def checked(columns: Mapping[str, Floats], where: Callable[[int], str], counts: Counter[str]) -> dict[str, Floats]:
    """The columns `[R]`, headings wrapped and impossible sizes unknown.

    Args:
        columns: Columns by name, rows that exist only.
        where: From the number of a row to words that name it.
        counts: Counts of what is left out; sizes that are not positive are added.

    Raises:
        DataError: A value cannot be; the message names its row.
    """
    good: dict[str, Floats] = {}
    for name, given in columns.items():
        values = np.asarray(given, dtype=np.float64)
        bad = np.isinf(values) | (np.abs(values) > LARGEST[name])
        if name in ("x", "y"):
            bad |= np.isnan(values)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{where(row)}: {name} is {values[row]:g} ({int(bad.sum())} such values)",
                f"at most {LARGEST[name]:g} can be; repair the file",
            )
        if name == "heading":
            values = wrap(values)
        if name in SIZES:
            unknown = values <= 0
            counts[f"values of {name} that are not positive, taken as unknown"] += int(unknown.sum())
            values = np.where(unknown, np.nan, values)
        good[name] = values
    return good
