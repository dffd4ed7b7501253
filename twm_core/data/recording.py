"""A recording: what a reader found, in SI units, before anything is derived from it.

As in a scenario, tracks stand one after another in flat arrays: track `i` covers the steps `first[i] .. first[i] + length[i] - 1`
without a hole, and its rows begin at the sum of the lengths before it. A step inside a track at which the agent was not seen has the code
`OCCLUDED`; its values do not matter. Positions are world coordinates in float64; `twm_core.data.features.derive` subtracts an origin,
computes velocities, headings and everything else that the files do not give (causally), and makes a `Scenario` of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import LIGHT_STATES, OCCLUDED, Lights, RoadMap
from twm_core.errors import DataError

UNKNOWN = -2
"""In `leader` and `follower`: the files do not say. -1 says that there is none."""

LARGEST = 1e8
"""No quantity of a recording is larger (metres, radians, m/s, m/s^2): no coordinate of the Earth in any projection is."""

COLUMNS = {
    "x": "m",
    "y": "m",
    "heading": "rad",
    "vx": "m/s",
    "vy": "m/s",
    "ax": "m/s^2",
    "ay": "m/s^2",
    "length": "m",
    "width": "m",
    "height": "m",
}
"""Columns that a recording may have, with their units. `x` and `y` are always there; NaN elsewhere says that a value is not known."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One stretch of one recording at one site.

    Attributes:
        id: Unique within the store.
        site: Name of the place: recordings of one site share the map's coordinates.
        group: Name of the recording that this is a piece of: within a group, the same track name means the same agent.
        start: Seconds from the beginning of the group to step 0.
        dt: Seconds between steps.
        steps: Number of steps `T`.
        track: Names of the tracks, `N` of them.
        type: int64 `[N]`, index into `twm_core.specs.AGENT_TYPES`.
        first: int64 `[N]`, first step of each track.
        length: int64 `[N]`, number of steps of each track.
        columns: float64 `[R]` each, names out of `COLUMNS`; world frame.
        code: uint8 `[R]`: `OBSERVED`, `INTERPOLATED` or `OCCLUDED`.
        provenance: For columns that were not simply measured: how they came about ("assumed from the type", "differences by the
            publisher, not causal").
        lane: int64 `[R]`, 1 + index into `lane_names`, 0 where unknown; None where lanes are not recorded.
        lane_names: Names of lanes, unique within the site.
        leader: int64 `[R]`, number of the track in front, -1 for none, `UNKNOWN` where the files do not say; None if they never do.
        follower: Likewise, of the track behind.
        road: The road map in the frame of `x`, `y`; None where there is none.
        lights: States of traffic lights; None where there are none.
        anchors: bool `[T]`, the steps at which nothing is interpolated from later ones, so that a prediction may start there; None
            where that is every step.
        ego: Number of the track of the recording vehicle, None where there is none.
        scored: bool `[N]`, the tracks that the dataset's own protocol scores; None where it scores all.
        skipped: What the reader left out of this stretch, by reason.

    Raises:
        DataError: The arrays contradict one another, a position that exists is not finite, or a value is beyond `LARGEST` (recording and
            track are named).
    """

    id: str
    site: str
    group: str
    dt: float
    steps: int
    track: tuple[str, ...]
    type: NDArray[np.int64]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.float64]]
    code: NDArray[np.uint8]
    start: float = 0.0
    provenance: Mapping[str, str] = field(default_factory=dict)
    lane: NDArray[np.int64] | None = None
    lane_names: tuple[str, ...] = ()
    leader: NDArray[np.int64] | None = None
    follower: NDArray[np.int64] | None = None
    road: RoadMap | None = None
    lights: Lights | None = None
    anchors: NDArray[np.bool_] | None = None
    ego: int | None = None
    scored: NDArray[np.bool_] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    offset: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", (np.cumsum(self.length) - self.length).astype(np.int64))
        rows, tracks = len(self.code), len(self.first)
        unknown = [n for n in self.columns if n not in COLUMNS]
        if unknown or "x" not in self.columns or "y" not in self.columns:
            raise DataError(
                f"recording {self.id}: columns are {', '.join(self.columns)}", f"x and y are needed, others out of {', '.join(COLUMNS)}"
            )
        per_row = [*self.columns.values(), *(a for a in (self.lane, self.leader, self.follower) if a is not None)]
        per_track = [self.length, self.type, self.track, *([] if self.scored is None else [self.scored])]
        if int(self.length.sum()) != rows or any(a.shape != (rows,) for a in per_row) or any(len(a) != tracks for a in per_track):
            raise DataError(f"recording {self.id}: its arrays do not agree with {tracks} tracks of {int(self.length.sum())} rows")
        if not self.dt > 0 or (self.anchors is not None and self.anchors.shape != (self.steps,)):
            raise DataError(f"recording {self.id}: dt {self.dt:g} or the {self.steps} steps of its anchors are impossible")
        if tracks and (self.length.min() < 1 or self.first.min() < 0 or int((self.first + self.length).max()) > self.steps):
            raise DataError(f"recording {self.id}: a track is empty or leaves the {self.steps} steps of the recording")
        if self.ego is not None and not 0 <= self.ego < tracks:
            raise DataError(f"recording {self.id}: its ego is track number {self.ego} of {tracks}")
        if self.lights is not None:
            self._check_lights(self.lights)
        here = self.code != OCCLUDED
        self._refuse_rows(here & ~(np.isfinite(self.columns["x"]) & np.isfinite(self.columns["y"])), "position is not a finite number")
        for name, values in self.columns.items():
            self._refuse_rows(here & (np.abs(values) > LARGEST), f"{name} is beyond {LARGEST:g} {COLUMNS[name]}, which is impossible")

    def _refuse_rows(self, bad: NDArray[np.bool_], why: str) -> None:
        """Raise a `DataError` that names the first of these rows, if there is one."""
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            i = int(np.searchsorted(self.offset, row, side="right") - 1)
            step = int(self.first[i]) + row - int(self.offset[i])
            raise DataError(
                f"{self.id}: track {self.track[i]}, step {step}: {why} ({int(bad.sum())} such rows)", "remove or repair these rows"
            )

    def _check_lights(self, lights: Lights) -> None:
        count = len(lights.lane)
        state, stop = np.shape(lights.state), np.shape(lights.stop)
        if state != (count, self.steps) or stop != (count, 2):
            raise DataError(
                f"recording {self.id}: states {list(state)} and stops {list(stop)} are not those of {count} lights at {self.steps} steps",
                "states are [lights, steps], stops [lights, 2]",
            )
        most = int(np.max(lights.state, initial=0))
        if most >= len(LIGHT_STATES):
            raise DataError(f"recording {self.id}: a light has the state {most}", f"states are 0 to {len(LIGHT_STATES) - 1}")
