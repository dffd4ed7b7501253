"""Reads one CommonRoad XML file (2018b; 2020a where the elements are the same) into flat arrays, with the standard library only.

What is read: `timeStepSize`, lanelets (bounds, successors, neighbours, speed limit), and every moving obstacle with its shape and
its states (time, position, orientation, velocity). What is not: planning problems, traffic signs and lights, static obstacles (they
are counted), and the file's accelerations, which need not be causal. Format: https://commonroad.in.tum.de (XML documentation 2018b).
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES

VERSIONS = ("2018b", "2020a")
_TYPES = {"taxi": "car", "priorityVehicle": "car", "parkedVehicle": "car"}
_VALUES = (("time", "time/exact"), ("x", "position/point/x"), ("y", "position/point/y"))
_MOTION = (("orientation", "orientation/exact"), ("velocity", "velocity/exact"))
_COLUMNS = tuple(name for name, _ in (*_VALUES, *_MOTION))


@dataclass(frozen=True)
class Lanelet:
    """One lanelet as the file states it.

    Bounds are `[P, 2]` metres in driving direction; `left` and `right` name neighbours of the same direction only.
    """

    id: str
    left_bound: NDArray[np.float64]
    right_bound: NDArray[np.float64]
    successors: tuple[str, ...]
    left: str | None
    right: str | None
    speed_limit: float | None


@dataclass(frozen=True)
class RawTrack:
    """One obstacle: its name, type (index into `AGENT_TYPES`), size in metres, first step, and rows `x, y, heading, speed` `[n, 4]`."""

    id: str
    type: int
    length: float
    width: float
    first: int
    rows: NDArray[np.float64]


@dataclass(frozen=True)
class RawFile:
    """One file: its name, benchmark id, seconds per step, lanelets, tracks, and how many static obstacles were left out."""

    name: str
    benchmark: str
    dt: float
    lanelets: tuple[Lanelet, ...]
    tracks: tuple[RawTrack, ...]
    static: int


def read_file(path: Path) -> RawFile:
    """Read one file.

    Raises:
        DataError: It is not well-formed, not CommonRoad, of another version, or an obstacle or lanelet of it is incomplete or impossible;
            the message names the file and the line or the obstacle and step.
    """
    name = path.name
    lanelets: list[Lanelet] = []
    tracks: list[RawTrack] = []
    static = depth = 0
    root: ET.Element | None = None
    try:
        with path.open("rb") as stream:
            for event, element in ET.iterparse(stream, events=("start", "end")):
                depth += 1 if event == "start" else -1
                if root is None:
                    root = element
                    _check_root(element, name)
                # Only children of the root: a goal region names lanelets too.
                elif event == "end" and depth == 1:
                    if element.tag == "lanelet":
                        lanelets.append(_lanelet(element, name))
                    elif element.tag in ("obstacle", "dynamicObstacle"):
                        if element.tag == "obstacle" and element.findtext("role", "").strip() == "static":
                            static += 1
                        else:
                            tracks.append(_track(element, name))
                    elif element.tag == "staticObstacle":
                        static += 1
                    element.clear()
    except ET.ParseError as error:
        line, column = error.position
        raise DataError(
            f"{name}, line {line}, column {column}: not well-formed XML ({error})", "download or export the file again"
        ) from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})", "check the path and its permissions") from error
    if root is None or not tracks:
        raise DataError(f"{name}: holds no moving obstacle", "leave the file out")
    seen: set[str] = set()
    for track in tracks:
        if track.id in seen:
            raise DataError(f"{name}: obstacle {track.id} stands in it twice", "remove one of the two")
        seen.add(track.id)
    dt = _number(root.get("timeStepSize"), "timeStepSize", name)
    return RawFile(name, root.get("benchmarkID") or path.stem, dt, tuple(lanelets), tuple(tracks), static)


def _check_root(root: ET.Element, name: str) -> None:
    if root.tag != "commonRoad":
        raise DataError(f"{name}: the root element is <{root.tag}>, not <commonRoad>", "give CommonRoad scenario files only")
    version = root.get("commonRoadVersion")
    if version not in VERSIONS:
        raise DataError(f"{name}: CommonRoad version {version!r} is not supported", f"convert the file to {' or '.join(VERSIONS)}")


def _number(text: str | None, what: str, whose: str) -> float:
    if text is None:
        raise DataError(f"{whose}: {what} is missing", "states need exact values of time, position, orientation and velocity")
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{whose}: {what} is {text.strip()!r}, not a number", "repair the file") from None
    if not math.isfinite(value):
        raise DataError(f"{whose}: {what} is {text.strip()}, not a finite number", "remove or repair this state")
    return value


def _track(obstacle: ET.Element, name: str) -> RawTrack:
    whose = f"{name}: obstacle {obstacle.get('id')}"
    initial = obstacle.find("initialState")
    if initial is None:
        raise DataError(f"{whose}: has no initialState", "repair the file")
    table: list[list[float]] = []
    for n, state in enumerate((initial, *obstacle.iterfind("trajectory/state"))):
        where = f"{whose}, state {n}"
        table.append([_number(state.findtext(tag), what, where) for what, tag in _VALUES + _MOTION])
    rows = np.asarray(table, dtype=np.float64)
    times = rows[:, _COLUMNS.index("time")]
    if (times != np.round(times)).any() or times[0] < 0:
        raise DataError(f"{whose}: its time steps are not whole numbers from 0 on", "times are counted in steps of timeStepSize")
    jumps = np.flatnonzero(np.diff(times) != 1)
    if len(jumps):
        at, to = int(times[jumps[0]]), int(times[jumps[0] + 1])
        raise DataError(
            f"{whose}: time step {at} is followed by {to}, not {at + 1}", "every step between its first and last must be there, once"
        )
    length, width = _size(obstacle, whose)
    kind = (obstacle.findtext("type") or "unknown").strip()
    kind = _TYPES.get(kind, kind)
    index = AGENT_TYPES.index(kind if kind in AGENT_TYPES else "other")
    return RawTrack(str(obstacle.get("id")), index, length, width, int(times[0]), rows[:, 1:])


def _size(obstacle: ET.Element, whose: str) -> tuple[float, float]:
    if (rectangle := obstacle.find("shape/rectangle")) is not None:
        return _number(rectangle.findtext("length"), "length", whose), _number(rectangle.findtext("width"), "width", whose)
    if (circle := obstacle.find("shape/circle")) is not None:
        diameter = 2 * _number(circle.findtext("radius"), "radius", whose)
        return diameter, diameter
    raise DataError(f"{whose}: its shape is neither a rectangle nor a circle", "replace the shape by its bounding rectangle")


def _lanelet(lanelet: ET.Element, name: str) -> Lanelet:
    whose = f"{name}: lanelet {lanelet.get('id')}"
    bounds: list[NDArray[np.float64]] = []
    for side in ("leftBound", "rightBound"):
        points = [[_number(p.findtext(c), f"{side} {c}", whose) for c in ("x", "y")] for p in lanelet.iterfind(f"{side}/point")]
        if len(points) < 2:
            raise DataError(f"{whose}: {side} has {len(points)} point(s), a bound needs two", "repair the file")
        bounds.append(np.asarray(points, dtype=np.float64))
    beside: dict[str, str | None] = {}
    for side in ("adjacentLeft", "adjacentRight"):
        neighbour = lanelet.find(side)
        beside[side] = neighbour.get("ref") if neighbour is not None and neighbour.get("drivingDir") == "same" else None
    limit = lanelet.findtext("speedLimit")
    return Lanelet(
        id=str(lanelet.get("id")),
        left_bound=bounds[0],
        right_bound=bounds[1],
        successors=tuple(str(s.get("ref")) for s in lanelet.iterfind("successor")),
        left=beside["adjacentLeft"],
        right=beside["adjacentRight"],
        speed_limit=None if limit is None else _number(limit, "speedLimit", whose),
    )
