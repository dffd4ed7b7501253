"""What pictures of scenarios have in common: colours, which rows are seen, what part of the plane is shown, and the road map below it.

Positions are metres in the scenario's local frame, x to the right and y upwards. Used by `twm_pictures.still` (a still picture) and
`twm_pictures.animation` (a moving one); nothing here opens a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.features.derive import ASSUMED_SIZE
from twm_core.data.roads.lane_lines import SPACING, boundaries, line_length, resample
from twm_core.data.scenario import LIGHT_STATES, OCCLUDED, Scenario
from twm_core.errors import DataError
from twm_core.extras import need
from twm_core.specs import AGENT_TYPES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TYPE_COLOURS = {
    "car": "#1667b7",
    "truck": "#c8501e",
    "bus": "#e09f10",
    "motorcycle": "#8b3fa8",
    "bicycle": "#0f8f68",
    "pedestrian": "#d0266f",
    "unknown": "#4d4d4d",
    "other": "#8a6a2f",
}
"""Colours of agents by type, apart from one another also for eyes that confuse red and green."""

LIGHT_COLOURS = {"unknown": "#9a9a9a", "red": "#e0201b", "yellow": "#f2c200", "green": "#12a53c", "off": "#303030"}
"""Colours of traffic lights by state."""

GROUND, ROAD = "#f5f4ef", "#d3d6da"
"""Colours of the ground and of lanes."""

_LINES: dict[str, tuple[str, float, str]] = {
    "edge": ("#5d6269", 1.1, "-"),
    "line": ("#ffffff", 0.9, "-"),
    "crosswalk": ("#a58b3d", 0.8, "-"),
    "stop": ("#a8342a", 1.4, "-"),
    "obstacle": ("#7a5c43", 0.8, "-"),
    "area": ("#8fae84", 0.8, "-"),
}
_FILLS = {"crosswalk": "#efe5bf", "obstacle": "#cdbfae", "area": "#dfe9d8"}
MAP_COLOURS = tuple(dict.fromkeys((*(colour for colour, _, _ in _LINES.values()), *_FILLS.values())))
"""Colours of the lines and areas of a map."""

_MOVES = 2.0
"""Metres that an agent must get away from where it was first seen to count as moving."""


@dataclass(frozen=True)
class Shown:
    """The rows of a scenario at which an agent is seen between two steps, `[R]` each, by track and time.

    `size` is `[R, 2]`: length and width in metres, assumed from the type where the scenario does not hold them.
    """

    track: Ints
    step: Ints
    xy: Floats
    heading: Floats
    size: Floats
    type: Ints
    first: int
    last: int


def rows_shown(scenario: Scenario, first: int | None, last: int | None) -> Shown:
    """The rows between the steps `first` and `last` (both included; the whole scenario by default).

    Raises:
        DataError: The scenario has no positions, or no agent is seen between these steps.
    """
    begin, end = 0 if first is None else first, scenario.steps - 1 if last is None else last
    if "x" not in scenario.features or "y" not in scenario.features:
        raise DataError(f"scenario {scenario.id}: it has no features x and y, so there is nothing to draw")
    step = np.arange(len(scenario.code)) - np.repeat(scenario.offset - scenario.first, scenario.length)
    rows = np.flatnonzero((scenario.code != OCCLUDED) & (step >= begin) & (step <= end))
    if not len(rows):
        raise DataError(
            f"scenario {scenario.id}: no agent is seen in its steps {begin} to {end}", f"its steps run from 0 to {scenario.steps - 1}"
        )
    track = np.repeat(np.arange(len(scenario.first)), scenario.length)[rows]
    kind = scenario.type[track]

    def column(name: str, otherwise: Floats) -> Floats:
        if name not in scenario.features:
            return otherwise
        return scenario.state[rows, scenario.features.index(name)].astype(np.float64)

    xy = np.stack([column(n, np.zeros(0)) for n in ("x", "y")], axis=1)
    assumed = np.asarray([ASSUMED_SIZE[name] for name in AGENT_TYPES])[kind]
    size = np.stack([column(name, assumed[:, i]) for i, name in enumerate(("length", "width"))], axis=1)
    return Shown(track, step[rows], xy, column("heading", np.zeros(len(rows))), size, kind, begin, end)


def view_of(shown: Shown, *, narrowest: float, most: float = 100.0) -> tuple[Floats, Floats]:
    """The corners (low, high) of the part of the plane in which agents move, with a margin: at least 8 agents long, 10 m to 40 m.

    Args:
        shown: Rows to look at; those of agents that never move count only where nobody moves.
        narrowest: Smallest ratio of the shorter side to the longer one.
        most: Per cent of the positions that must be inside along each axis; the others are as many on both ends.
    """
    begin = np.flatnonzero(np.diff(shown.track, prepend=-1))
    away = np.hypot(*(shown.xy - np.repeat(shown.xy[begin], np.diff(np.append(begin, len(shown.track))), axis=0)).T)
    moves = np.maximum.reduceat(away, begin) >= _MOVES
    rows = np.repeat(moves, np.diff(np.append(begin, len(shown.track)))) if moves.any() else np.ones(len(shown.track), dtype=bool)
    low, high = (np.percentile(shown.xy[rows], q, axis=0) for q in (50 - most / 2, 50 + most / 2))
    longest = float(np.percentile(shown.size[:, 0], 95))
    margin = 0.6 * longest + max(0.5, 0.04 * float((high - low).max()))
    middle, side = (low + high) / 2, high - low + 2 * margin
    side = np.maximum(side, max(float(np.clip(8 * longest, 10.0, 40.0)), narrowest * float(side.max())))
    return middle - side / 2, middle + side / 2


def corners(xy: Floats, heading: Floats, size: Floats) -> Floats:
    """Corners `[N, 4, 2]` of oriented boxes: front left, front right, back right, back left."""
    cos, sin = np.cos(heading), np.sin(heading)
    along = np.stack([cos, sin], axis=1) * size[:, :1] / 2
    left = np.stack([-sin, cos], axis=1) * size[:, 1:] / 2
    return xy[:, None] + np.stack([along + left, along - left, -along - left, -along + left], axis=1)


def arrowheads(boxes: Floats) -> Floats:
    """Three points `[N, 3, 2]` in each box of `corners`, a tip that points to its front: from the sides to the middle of the front."""
    half = (boxes[:, 0] + boxes[:, 1]) / 2 - boxes.mean(axis=1)
    left = 0.34 * (boxes[:, 0] - boxes[:, 1])
    length, width = np.hypot(*half.T)[:, None], np.hypot(*left.T)[:, None]
    tip = boxes.mean(axis=1) + 0.84 * half
    back = tip - np.minimum(0.6, 1.4 * width / np.maximum(length, 1e-9)) * half
    return np.stack([back + left, tip, back - left], axis=1)


def lights_at(scenario: Scenario, step: int) -> tuple[Floats, list[str]]:
    """Where the traffic lights stand `[L, 2]` (the end of their lane where no place is known) and their colours at a step."""
    lights = scenario.lights
    if lights is None:
        return np.zeros((0, 2)), []
    ends = {lane.id: lane.centre[-1] for lane in (() if scenario.road is None else scenario.road.lanes)}
    places: list[Floats] = []
    colours: list[str] = []
    for lane, state, stop in zip(lights.lane, lights.state[:, min(step, lights.state.shape[1] - 1)], lights.stop, strict=True):
        place = stop if np.isfinite(stop).all() else ends.get(lane)
        if place is not None:
            places.append(place)
            colours.append(LIGHT_COLOURS[LIGHT_STATES[state]])
    return np.asarray(places, dtype=np.float64).reshape(-1, 2), colours


def nice_length(metres: float) -> float:
    """The largest of 1, 2, 5, 10, 20, 50, ... that is at most `metres`, for a scale bar."""
    power = 10.0 ** np.floor(np.log10(metres))
    return float(max(f * power for f in (1, 2, 5) if f * power <= metres * (1 + 1e-9)))


def quiet_corner(scenario: Scenario, shown: Shown, low: Floats, high: Floats, box: Floats) -> tuple[float, float]:
    """Where a box of so many metres covers the least of tracks and lanes: its lower left corner, in one of the corners of what is shown."""
    lanes = () if scenario.road is None else scenario.road.lanes
    points = np.concatenate([shown.xy, *(resample(lane.centre, max(2, round(line_length(lane.centre) / SPACING))) for lane in lanes)])
    places = [np.where(np.asarray(corner), high - box, low) for corner in ((0, 0), (1, 0), (0, 1), (1, 1))]
    passed = [int(((points >= place) & (points <= place + box)).all(axis=1).sum()) for place in places]
    x, y = places[int(np.argmin(passed))].tolist()
    return x, y


def draw_map(axes: Any, scenario: Scenario, low: Floats, high: Floats, points_per_metre: float) -> None:
    """The road map onto matplotlib axes: lane areas, boundaries, centre lines, and the map's other lines.

    Lines are as wide as they need to be seen, but no wider than what they stand for: a motorway of a kilometre would be white otherwise.

    Args:
        axes: They keep their limits.
        scenario: Without a map, nothing is drawn.
        low: Corner of what is shown; lanes that lie wholly outside are left out.
        high: The other corner.
        points_per_metre: Scale of the axes, in points (1/72 inch).
    """
    road = scenario.road
    if road is None:
        return
    thickest = max(0.25, 0.35 * points_per_metre)
    collections = need("matplotlib.collections", "viz")

    def near(line: Floats) -> bool:
        return bool((line.max(axis=0) >= low).all() and (line.min(axis=0) <= high).all())

    rings: list[Floats] = []
    borders: list[Floats] = []
    centres: list[Floats] = []
    for lane in road.lanes:
        left, right = boundaries(lane)
        ring = np.concatenate([left, right[::-1]])
        if near(ring):
            rings.append(ring)
            borders += [left, right]
            centres.append(lane.centre)
    lines = [line for line in road.lines if len(line.points) and near(line.points)]
    fills = [line for line in lines if line.kind in _FILLS and len(line.points) > 2]

    def add(collection: Any) -> None:
        axes.add_collection(collection, autolim=False)

    areas = [line for line in fills if line.kind == "area"]
    add(collections.PolyCollection([line.points for line in areas], facecolors=[_FILLS[line.kind] for line in areas], zorder=1))
    # An edge in the same colour closes the seams that anti-aliasing leaves between neighbouring polygons.
    add(collections.PolyCollection(rings, facecolors=ROAD, edgecolors=ROAD, linewidths=0.6, zorder=2))
    over = [line for line in fills if line.kind != "area"]
    add(collections.PolyCollection([line.points for line in over], facecolors=[_FILLS[line.kind] for line in over], zorder=3))
    add(collections.LineCollection(borders, colors="#ffffff", linewidths=min(1.0, thickest), zorder=4))
    add(collections.LineCollection(centres, colors="#b4b9c0", linewidths=min(0.5, thickest / 2), linestyles=(0, (6, 6)), zorder=4))
    for kind, (colour, width, style) in _LINES.items():
        found = [
            np.concatenate([line.points, line.points[:1]]) if line.kind in _FILLS else line.points for line in lines if line.kind == kind
        ]
        add(collections.LineCollection(found, colors=colour, linewidths=min(width, 1.5 * thickest), linestyles=style, zorder=5))
