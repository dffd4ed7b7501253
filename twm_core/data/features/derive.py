"""From a recording to a scenario: everything that the files do not give, computed from the past and present of each track alone.

    vx[r], vy[r]   = recorded, else (x[r] - x[r-1]) / (t[r] - t[r-1]): the time that really passed, also across gaps of a track
    heading[r]     = recorded, else the direction of motion, kept while slower than `STILL_SPEED` of the agent's type, 0 before it moves
    ax, ay, yaw_rate = recorded accelerations, else backward differences of the above where both ends are known, else 0
    length, width  = recorded, else the last one that was, else `ASSUMED_SIZE` of the type
    lane_*         = `twm_core.data.features.lanes.locate` in the recording's map
    leader_*, follower_* = recorded neighbours, else along the lanes, else within a corridor (`leaders`, `road_graph`)

`fresh` is 1 at the first row of a track, where nothing can be differenced yet. Recorded velocities, accelerations and headings that the
recording's provenance calls not causal are not used. The origin that is subtracted is the first point of the map rounded to metres, so
that all recordings with one map have one origin; without a map, the first position in time rounded towards 0 to `ORIGIN_GRID` metres.
Neither looks ahead. Rows are those of the recording; where nobody was seen (`OCCLUDED`) they are 0.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data.features.lanes import LANE_FEATURES, OnLanes, locate
from twm_core.data.features.neighbours import add_neighbours
from twm_core.data.motion import Floats, backward_difference, hold_last
from twm_core.data.recording import Recording
from twm_core.data.scenario import OCCLUDED, Lights, RoadMap, Scenario
from twm_core.data.schema import LEADER_FEATURES, TRAFFIC_FEATURES
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

ORIGIN_GRID = 1000.0
"""Without a map, origins are multiples of this many metres: recordings of one place mostly share one, and float32 still keeps 0.1 mm."""

STILL_SPEED = {"pedestrian": 0.05, "bicycle": 0.2, "motorcycle": 0.3, "car": 0.5, "truck": 0.5, "bus": 0.5, "unknown": 0.3, "other": 0.3}
"""m/s below which an agent without a recorded heading keeps its last one. 0.05 m/s are 2 cm in a step of 0.4 s, what annotators of
pedestrians resolve; a vehicle that is detected to 5 cm at 10 Hz seems to move at 0.5 m/s while it stands."""

ASSUMED_SIZE = {
    "unknown": (4.5, 1.8),
    "car": (4.5, 1.8),
    "truck": (9.0, 2.5),
    "bus": (12.0, 2.55),
    "motorcycle": (2.2, 0.8),
    "bicycle": (1.8, 0.6),
    "pedestrian": (0.5, 0.5),
    "other": (2.0, 1.0),
}
"""Length and width in metres by type, where the files give none. Cars: the compact class, about 4.5 m by 1.8 m. Trucks and buses: rigid
vehicles, at most 12 m (buses 13.5 m) by 2.55 m in the EU (Directive 96/53/EC); 2.5 m and 9 m are usual of rigid trucks. Two-wheelers and
pedestrians: the area that designs of roads reserve for one."""

_DERIVABLE = ("vx", "vy", "ax", "ay", "heading")
_NOT_CAUSAL = re.compile(r"\b(?:not|non)[ -]?causal\b", re.IGNORECASE)

NO_MAP = "not known: no road map"
"""Provenance of lane features that are 0 because a recording has no road map with lanes."""


def derive(recording: Recording, *, features: tuple[str, ...] | None = None, allow_no_map: bool = False) -> Scenario:
    """The recording as a scenario.

    Args:
        recording: What a reader found.
        features: Names out of `TRAFFIC_FEATURES`, in the order of the state's columns; None for all that the recording supports (lane
            features need a map with lanes).
        allow_no_map: Where lane features are asked for and the recording has no map with lanes, make them 0 with the provenance
            `NO_MAP` (`lane_known` is 0 then), instead of refusing: one store may hold recordings with and without a map.

    Returns:
        The scenario, with the provenance of every feature. Its lanes are the recorded ones, else those of the map.

    Raises:
        DataError: A feature is asked for that there is none of, or that the recording does not support.
    """
    names = _chosen(recording, features, allow_no_map)
    observed_rows = np.flatnonzero(recording.code != OCCLUDED)
    track = np.repeat(np.arange(len(recording.first)), recording.length)[observed_rows]
    step = (np.arange(len(recording.code)) - np.repeat(recording.offset - recording.first, recording.length))[observed_rows]
    origin = origin_of(recording, observed_rows, step)
    road = None if recording.road is None else shift_road(recording.road, origin)
    starts = np.ones(len(observed_rows), dtype=bool)
    starts[1:] = np.diff(track) != 0
    values, texts = _motion(recording, observed_rows, track, step, starts, origin)
    _sizes(recording, observed_rows, track, starts, values, texts)
    on = None
    if road is not None and road.lanes:
        on = locate(np.stack([values["x"], values["y"]], axis=1), values["heading"], road.lanes)
        values |= {name: getattr(on, name) for name in LANE_FEATURES}
        texts |= dict.fromkeys(LANE_FEATURES, "from the road map, at the agent's position and heading")
    else:
        values |= {name: np.zeros(len(observed_rows)) for name in LANE_FEATURES}
        texts |= dict.fromkeys(LANE_FEATURES, NO_MAP)
    if any(name in LEADER_FEATURES for name in names):
        add_neighbours(recording, observed_rows, step, on, road, values, texts)
    state = np.zeros((len(recording.code), len(names)), dtype=np.float32)
    for i, name in enumerate(names):
        state[observed_rows, i] = values[name]
    lane, lane_names = _lanes(recording, observed_rows, on, road)
    lights = recording.lights
    return Scenario(
        id=recording.id,
        site=recording.site,
        dt=recording.dt,
        steps=recording.steps,
        features=names,
        state=state,
        code=recording.code,
        first=recording.first,
        length=recording.length,
        track=recording.track,
        type=recording.type,
        lane=lane,
        lane_names=lane_names,
        road=road,
        origin=origin,
        eligible=recording.scored,
        group=recording.group,
        start=recording.start,
        lights=None if lights is None else Lights(lights.lane, lights.state, lights.stop - origin),
        anchors=recording.anchors,
        provenance={name: texts[name] for name in names},
        ego=recording.ego,
    )


def origin_of(recording: Recording, observed_rows: Ints, step: Ints) -> tuple[float, float]:
    """World position of the local frame (see the module): a function of the map, or of the first step at which anybody is seen.

    Args:
        recording: The recording.
        observed_rows: Rows at which an agent is seen.
        step: Their steps.
    """
    road = recording.road
    line = None
    if road is not None and road.lanes:
        line = road.lanes[0].centre if road.lanes[0].left_boundary is None else road.lanes[0].left_boundary
    elif road is not None and road.lines:
        line = road.lines[0].points
    if line is not None:
        return float(np.round(line[0, 0])) + 0.0, float(np.round(line[0, 1])) + 0.0
    if not len(observed_rows):
        return 0.0, 0.0
    row = observed_rows[int(np.argmin(step))]
    x, y = (float(np.trunc(recording.columns[n][row] / ORIGIN_GRID) * ORIGIN_GRID) for n in ("x", "y"))
    return x + 0.0, y + 0.0  # + 0: no negative zeros


def shift_road(road: RoadMap, origin: tuple[float, float]) -> RoadMap:
    """The map with `origin` subtracted from all its points."""

    def moved(line: Floats | None) -> Floats | None:
        return None if line is None else line - origin

    lanes = tuple(
        replace(lane, centre=lane.centre - origin, left_boundary=moved(lane.left_boundary), right_boundary=moved(lane.right_boundary))
        for lane in road.lanes
    )
    return RoadMap(lanes, tuple(replace(line, points=line.points - origin) for line in road.lines))


def supported(recording: Recording) -> tuple[str, ...]:
    """The features that can be derived from a recording: all, without a map with lanes all but those of lanes."""
    lanes = recording.road is not None and len(recording.road.lanes) > 0
    return tuple(name for name in TRAFFIC_FEATURES if lanes or name not in LANE_FEATURES)


def _chosen(recording: Recording, features: tuple[str, ...] | None, allow_no_map: bool) -> tuple[str, ...]:
    """The names of the features to give."""
    can = supported(recording)
    if features is None:
        return can
    unknown = [name for name in features if name not in TRAFFIC_FEATURES]
    if unknown:
        raise DataError(
            f"recording {recording.id}: there is no feature {', '.join(unknown)}", f"features are {', '.join(TRAFFIC_FEATURES)}"
        )
    missing = [name for name in features if name not in can]
    if missing and not allow_no_map:
        raise DataError(
            f"recording {recording.id}: features {', '.join(missing)} need a road map with lanes, and it has none",
            "leave them out, or give the reader the map",
        )
    return features


def _usable(recording: Recording, name: str, observed_rows: Ints) -> Floats:
    """The recorded column at the rows that are seen, NaN where it is not known or may not be used."""
    values = recording.columns.get(name)
    if values is None or (name in _DERIVABLE and _NOT_CAUSAL.search(recording.provenance.get(name, ""))):
        return np.full(len(observed_rows), np.nan)
    values = values[observed_rows]
    return np.where(np.isfinite(values), values, np.nan)


def _text(recording: Recording, name: str, given: Flags, otherwise: str) -> str:
    """How a column came about."""
    recorded = recording.provenance.get(name, "recorded")
    if given.all():
        return recorded
    if not given.any():
        dropped = _NOT_CAUSAL.search(recorded) is not None and name in _DERIVABLE and name in recording.columns
        return f"{otherwise} (the recorded ones are not causal)" if dropped else otherwise
    return f"{recorded}; where not known: {otherwise}"


def _motion(
    recording: Recording, observed_rows: Ints, track: Ints, step: Ints, starts: Flags, origin: tuple[float, float]
) -> tuple[dict[str, Floats], dict[str, str]]:
    """Position, velocity, heading and their rates at the rows that are seen, with their provenance."""
    values: dict[str, Floats] = {}
    texts: dict[str, str] = {}
    elapsed = np.where(starts, 1.0, np.diff(step, prepend=step[:1])) * recording.dt
    for name, zero in zip(("x", "y"), origin, strict=True):
        world = recording.columns[name][observed_rows]
        values[name] = world - zero
        texts[name] = recording.provenance.get(name, "recorded")
        speed, given = f"v{name}", _usable(recording, f"v{name}", observed_rows)
        values[speed] = np.where(np.isnan(given), backward_difference(world, starts, elapsed), given)
        texts[speed] = _text(recording, speed, ~np.isnan(given), f"backward differences of {name}")
        known = ~(np.isnan(given) & starts)
        rate, given = f"a{name}", _usable(recording, f"a{name}", observed_rows)
        unknown = starts | ~known | ~np.concatenate([[True], known[:-1]])[: len(known)]
        values[rate] = np.where(np.isnan(given), backward_difference(values[speed], unknown, elapsed), given)
        texts[rate] = _text(recording, rate, ~np.isnan(given), f"backward differences of {speed}")
    still = np.asarray([STILL_SPEED[name] for name in AGENT_TYPES])[recording.type[track]]
    vx, vy = values["vx"].astype(np.float32), values["vy"].astype(np.float32)
    # A velocity that is recorded at a track's first row tells a direction there already.
    unmoved = starts & np.isnan(_usable(recording, "vx", observed_rows))
    direction = _direction(vx, vy, unmoved, still)
    given = _usable(recording, "heading", observed_rows)
    heading = hold_last(np.where(np.isnan(given), direction, wrap(given)), starts)
    known = ~np.isnan(heading)
    values["heading"] = np.where(known, heading, 0.0)
    texts["heading"] = _text(recording, "heading", ~np.isnan(given), "direction of motion, kept while the agent stands")
    unturned = starts | ~np.concatenate([[False], known[:-1]])[: len(known)]
    values["yaw_rate"] = backward_difference(values["heading"], unturned, elapsed, angle=True)
    texts["yaw_rate"] = "backward differences of heading"
    values["velocity_direction"] = np.where(np.isnan(held := hold_last(direction, starts)), values["heading"], held)
    texts["velocity_direction"] = "direction of vx, vy, kept while the agent stands; its heading before it first moves"
    values["fresh"] = starts.astype(np.float64)
    texts["fresh"] = "1 at the first row of a track"
    return values, texts


def _direction(vx: NDArray[np.float32], vy: NDArray[np.float32], unknown: Flags, still: Floats) -> Floats:
    """Direction of motion of every row at which the agent is known to move, NaN at the others."""
    moving = (np.hypot(vx, vy) >= still.astype(np.float32)) & ~unknown
    return np.where(moving, np.arctan2(vy, vx).astype(np.float64), np.nan)


def _sizes(recording: Recording, observed_rows: Ints, track: Ints, starts: Flags, values: dict[str, Floats], texts: dict[str, str]) -> None:
    """Length and width of every row; a size that is not known any more is the last one that was."""
    kind = recording.type[track]
    for i, name in enumerate(("length", "width")):
        given = _usable(recording, name, observed_rows)
        held = hold_last(np.where(given > 0, given, np.nan), starts)
        assumed = np.asarray([ASSUMED_SIZE[t][i] for t in AGENT_TYPES])[kind]
        values[name] = np.where(np.isnan(held), assumed, held)
        texts[name] = _text(recording, name, ~np.isnan(held), "assumed from the type")


def _lanes(recording: Recording, observed_rows: Ints, on: OnLanes | None, road: RoadMap | None) -> tuple[Ints | None, tuple[str, ...]]:
    """Lane numbers of all rows and the lanes' names: the recorded ones, else the map's."""
    if recording.lane is not None:
        number = np.zeros(len(recording.code), dtype=np.int64)
        number[observed_rows] = recording.lane[observed_rows]
        return number, recording.lane_names
    if on is None or road is None:
        return None, ()
    number = np.zeros(len(recording.code), dtype=np.int64)
    number[observed_rows] = on.lane + 1
    return number, tuple(lane.id for lane in road.lanes)
