"""Who drives ahead and behind in every lane, for all vehicles of all runs at once.

Because the columns of a fleet are sorted by position, the next vehicle ahead in a row is a running minimum, from the right, over the
columns that stand in it; the next behind a running maximum from the left. A vehicle stands in the row it drives to and, until `CLEAR`,
in the one it leaves. Vehicles are named by flat numbers, `run * columns + column`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twm_highway.fleet import Fleet

Ints = NDArray[np.int64]

CLEAR = 0.75
"""Progress of a lane change from which the vehicle has cleared the lane it leaves."""


class Neighbours:
    """Tables `[R, rows, W]` of the next vehicle ahead and behind, the phantoms where there is none.

    Args:
        fleet: Whose neighbours.
        rows: Number of rows of the site.
    """

    def __init__(self, fleet: Fleet, rows: int) -> None:
        runs, width = fleet.runs, fleet.columns
        self._fleet = fleet
        self._row = np.arange(rows)[None, :, None]
        self._flat = np.arange(runs * width).reshape(runs, 1, width)
        self._lookup = (np.arange(runs)[:, None] * rows * width + np.arange(width)).ravel()
        self._ahead = np.broadcast_to(self._flat[:, :, -1:], (runs, rows, width)).copy()
        self._behind = np.broadcast_to(self._flat[:, :, :1], (runs, rows, width)).copy()

    def find(self) -> None:
        """Search anew; the fleet must be sorted."""
        fleet, flat = self._fleet, self._flat
        leaves = np.where(fleet.progress < CLEAR, fleet.lane, -1)
        here = (fleet.target[:, None, :] == self._row) | (leaves[:, None, :] == self._row)
        after = np.where(here, flat, flat[:, :, -1:])[:, :, ::-1]
        self._ahead[:, :, :-1] = np.minimum.accumulate(after, axis=2)[:, :, ::-1][:, :, 1:]
        before = np.where(here, flat, flat[:, :, :1])
        self._behind[:, :, 1:] = np.maximum.accumulate(before, axis=2)[:, :, :-1]

    def ahead(self, row: Ints, who: Ints | slice) -> Ints:
        """The next vehicle in `row` ahead of `who`, both `[N]`; row -1 of free columns is read as row 0."""
        return self._ahead.ravel()[self._lookup[who] + np.maximum(row, 0) * self._fleet.columns]

    def behind(self, row: Ints, who: Ints) -> Ints:
        """The next vehicle in `row` behind `who`, both `[N]`."""
        return self._behind.ravel()[self._lookup[who] + np.maximum(row, 0) * self._fleet.columns]
