"""The state of all vehicles of several parallel runs, as arrays `[R, W]`: one row per run, one column per vehicle.

Columns are kept sorted by position along the road, so that finding leaders is a running minimum (see `simulation`). Column 0 and the
last column never hold a vehicle: they are the phantoms behind and ahead of everybody, found where there is no real neighbour. Free
columns have `lane = target = -1` and stand far ahead of all vehicles. The numbers of all vehicles live in one block of floats and one of
integers, of which the attributes below are views: change them in place only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FAR = 1e6
"""Where phantoms and free columns stand, m."""

MOTION = ("s", "v", "a", "progress", "sway", "sway_rate")
"""What is logged of the floats at every step, in this order."""

MARKS = ("lane", "target", "id")
"""What is logged of the integers at every step, in this order."""


class Fleet:
    """Vehicles of `R` runs with room for `columns` each (two more are phantoms).

    Attributes:
        s: Position along the reference curve, m.
        v: `ds/dt`, m/s.
        a: Acceleration that the driver applies until the next step, m/s².
        progress: Share of the lane change done, by time, 1 when none is under way.
        sway: Distance from the path of lane keeping, m.
        sway_rate: Its rate at full speed, m/s.
        disturbance: Ornstein-Uhlenbeck acceleration noise, in units of its deviation.
        rest: Seconds until the driver considers another lane change.
        share: Share of the wanted headway that the driver insists on: short after a merge, relaxing to 1.
        lane: Row that is left (or kept).
        target: Row that is driven to; equal to `lane` when no change is under way.
        id: Number of the vehicle within its run.
        leaving: 1 for drivers who want to take the off-ramp.
    """

    s: Floats
    v: Floats
    a: Floats
    progress: Floats
    sway: Floats
    sway_rate: Floats
    disturbance: Floats
    rest: Floats
    share: Floats
    compliance: Floats
    top: Floats
    headway: Floats
    standstill: Floats
    accel: Floats
    brake: Floats
    politeness: Floats
    noise: Floats
    duration: Floats
    length: Floats
    lane: Ints
    target: Ints
    id: Ints
    leaving: Ints
    truck: Ints

    _FLOATS = (*MOTION, "disturbance", "rest", "share")
    TRAITS = ("headway", "standstill", "accel", "brake", "compliance", "top", "politeness", "noise", "duration", "length")
    _INTS = (*MARKS, "leaving", "truck")

    def __init__(self, runs: int, columns: int) -> None:
        self.runs, self.columns = runs, columns + 2
        shape = (runs, self.columns)
        self.floats: Floats = np.zeros((len(self._FLOATS) + len(self.TRAITS), *shape))
        self.ints: Ints = np.zeros((len(self._INTS), *shape), dtype=np.int64)
        for block, names in ((self.floats, (*self._FLOATS, *self.TRAITS)), (self.ints, self._INTS)):
            for i, name in enumerate(names):
                setattr(self, name, block[i])
        self.free(np.ones(shape, dtype=bool))
        self.s[:, 0] = -FAR

    def free(self, where: NDArray[np.bool_]) -> None:
        """Empty columns (bool `[R, W]`) and give them harmless numbers, so that arithmetic on them stays finite."""
        self.floats[:, where] = 1.0
        self.ints[:, where] = -1
        self.s[where] = FAR
        self.v[where] = 0.0
        self.top[where] = 30.0

    @property
    def following(self) -> Floats:
        """`[5, R W]`: share, headway, standstill, accel and brake, in this order: what car following needs, to be read at once."""
        first = len(self._FLOATS) - 1
        return self.floats[first : first + 5].reshape(5, -1)

    @property
    def alive(self) -> NDArray[np.bool_]:
        """Which columns hold a vehicle."""
        return self.lane >= 0

    def sort(self) -> None:
        """Restore the order by position in the runs where somebody was overtaken."""
        inner = self.s[:, 1:-1]
        rows = np.flatnonzero((inner[:, 1:] < inner[:, :-1]).any(axis=1))
        if len(rows):
            order = 1 + np.argsort(inner[rows], axis=1, kind="stable")[None]
            for block in (self.floats, self.ints):
                block[:, rows, 1:-1] = np.take_along_axis(block[:, rows], order, axis=2)
