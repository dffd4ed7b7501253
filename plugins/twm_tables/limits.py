"""Positions and sizes that cannot be meant, refused with the row of the file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twm_core.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FARTHEST = 1e8
"""Metres from the origin beyond which a position cannot be meant."""


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
