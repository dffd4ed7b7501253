"""A scenario: one recording or simulation run at one site, ragged, in memory, as NumPy arrays.

Tracks stand one after another in flat arrays, because agents come and go: track `i` covers the steps
`first[i] .. first[i] + length[i] - 1` without a hole and its rows start at `offset[i]`. A step inside a track at which the agent was
not seen has the code `occluded` (and rows of zeros) or `interpolated`. Positions are metres in a local frame whose origin
(float64, world) was subtracted before the cast to float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field

import numpy as np
from numpy.typing import NDArray

from twm_core.data.schema import EXISTENCE_CODES
from twm_core.errors import DataError

PADDING, OBSERVED, INTERPOLATED, OCCLUDED, NOT_ENTERED, LEFT = range(len(EXISTENCE_CODES))


@dataclass(frozen=True)
class Lane:
    """One lane of a road map: its centre line `[P, 2]` in metres in driving direction, its width, and its neighbours by id."""

    id: str
    centre: NDArray[np.float64]
    width: float
    left_boundary: NDArray[np.float64] | None = None
    right_boundary: NDArray[np.float64] | None = None
    successors: tuple[str, ...] = ()
    left: str | None = None
    right: str | None = None
    speed_limit: float | None = None


LINE_KINDS = ("edge", "line", "crosswalk", "stop", "obstacle", "area")
"""What a line of a map is: edge of the road, marking, outline of a crosswalk, stop line, outline of an obstacle or of another area."""


@dataclass(frozen=True)
class RoadLine:
    """A line of a road map that bounds no single lane: its kind (one of `LINE_KINDS`) and its points `[P, 2]` in metres."""

    kind: str
    points: NDArray[np.float64]


@dataclass(frozen=True)
class RoadMap:
    """The lanes and other lines of one site, in the same local frame as the scenario's tracks."""

    lanes: tuple[Lane, ...] = ()
    lines: tuple[RoadLine, ...] = ()


LIGHT_STATES = ("unknown", "red", "yellow", "green", "off")
"""Values of `Lights.state`, in order. Arrows and flashing lights count as the colour they show."""


@dataclass(frozen=True)
class Lights:
    """States of traffic lights.

    Attributes:
        lane: The lane that each of the `L` lights governs, by id.
        state: uint8 `[L, T]`, index into `LIGHT_STATES`.
        stop: float64 `[L, 2]`, where one stops, in the frame of the tracks; NaN where unknown.
    """

    lane: tuple[str, ...]
    state: NDArray[np.uint8]
    stop: NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """One recording or run.

    Attributes:
        id: Unique within the dataset (file name, or site and seed).
        site: Name of the place.
        dt: Seconds between steps.
        steps: Number of steps `T` of the whole scenario.
        features: Names of the columns of `state`.
        state: float32 `[R, F]`, the rows of all tracks, track by track.
        code: uint8 `[R]`, `OBSERVED`, `INTERPOLATED` or `OCCLUDED`.
        lane: int64 `[R]` lane tokens (0 unknown), or None where there are no lanes.
        first: int64 `[N]`, first step of each track.
        length: int64 `[N]`, number of steps of each track.
        track: Names of the tracks, `N` of them.
        type: int64 `[N]`, index into `AGENT_TYPES`.
        action: float32 `[R, U]`, what each agent did from this step to the next, or None.
        road: The road map, or None.
        origin: World position (metres, float64) of the local frame's origin.
        site_token: Token of the site, 0 unknown.
        eligible: bool `[N]`, the tracks that the scenario's split may score (the others are context), or None where it may score all.
        group: Name of the recording that this is a piece of: within a group, the same track name means the same agent.
        start: Seconds from the beginning of the group to step 0.
        lane_names: Where `lane` holds 1 + an index into these names instead of tokens; empty where it holds tokens.
        lights: States of traffic lights, or None.
        anchors: bool `[T]`, the steps at which nothing is interpolated from later ones, so that a prediction may start after them; None
            where that is every step.
        provenance: How each feature came about, by name.
        ego: Number of the track of the recording vehicle, None where there is none.
        check_values: Whether to look at every value; a store, whose values were checked when they were written, does without.

    Raises:
        DataError: The arrays contradict one another, or a value that exists is not finite (scenario and track are named).
    """

    id: str
    site: str
    dt: float
    steps: int
    features: tuple[str, ...]
    state: NDArray[np.float32]
    code: NDArray[np.uint8]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    track: tuple[str, ...]
    type: NDArray[np.int64]
    lane: NDArray[np.int64] | None = None
    action: NDArray[np.float32] | None = None
    road: RoadMap | None = None
    origin: tuple[float, float] = (0.0, 0.0)
    site_token: int = 0
    eligible: NDArray[np.bool_] | None = None
    group: str = ""
    start: float = 0.0
    lane_names: tuple[str, ...] = ()
    lights: Lights | None = None
    anchors: NDArray[np.bool_] | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    ego: int | None = None
    check_values: InitVar[bool] = True
    offset: NDArray[np.int64] = field(init=False)

    def __post_init__(self, check_values: bool) -> None:
        ends = np.cumsum(self.length)
        object.__setattr__(self, "offset", np.concatenate([[0], ends[:-1]]).astype(np.int64) if len(ends) else ends.astype(np.int64))
        rows, tracks = len(self.state), len(self.first)
        per_row = [a for a in (self.code, self.lane, self.action) if a is not None]
        per_track = [self.length, self.type, self.track, *([] if self.eligible is None else [self.eligible])]
        if self.state.shape != (rows, len(self.features)) or int(self.length.sum()) != rows or any(len(a) != rows for a in per_row):
            raise DataError(f"scenario {self.id}: arrays of {rows} rows do not agree with tracks of {int(self.length.sum())} steps")
        if any(len(a) != tracks for a in per_track):
            raise DataError(f"scenario {self.id}: arrays of {tracks} tracks do not agree")
        if tracks and (self.length.min() < 1 or self.first.min() < 0 or int((self.first + self.length).max()) > self.steps):
            raise DataError(f"scenario {self.id}: a track is empty or leaves the {self.steps} steps of the scenario")
        if self.ego is not None and not 0 <= self.ego < tracks:
            raise DataError(f"scenario {self.id}: its ego is track number {self.ego} of {tracks}")
        if check_values:
            self._check_finite()

    def _check_finite(self) -> None:
        here = self.code != OCCLUDED
        bad = here & ~np.isfinite(self.state).all(axis=1)
        if self.action is not None:
            bad |= here & ~np.isfinite(self.action).all(axis=1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            i = int(np.searchsorted(self.offset, row, side="right") - 1)
            values = ~np.isfinite(self.state[row])
            names = ", ".join(n for n, b in zip(self.features, values, strict=True) if b) or "action"
            raise DataError(
                f"{self.id}: track {self.track[i]}, step {int(self.first[i]) + row - int(self.offset[i])}: {names} is not a finite number"
                f" ({int(bad.sum())} such rows)",
                "remove or repair these rows",
            )
