"""Reads one CommonRoad XML file (2018b or 2020a) into flat arrays, with the standard library only.

What is read: `timeStepSize`, the road (`commonroad_map`), and every moving obstacle with its shape and its states (time, position,
orientation, velocity). Positions are those of the shape's centre. Values that are given as intervals or regions are taken at their
middle and counted. What is not read: planning problems, scenario tags and locations, signals of vehicles, and the file's
accelerations, which need not be causal. Static and phantom obstacles, and those with sets of occupancy instead of a trajectory
(predictions, not observations), are counted. Format: https://commonroad.in.tum.de (XML documentation 2018b, 2020a).
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.xml_children import read_children
from twm_core.data.roads.lane_lines import Lanelet
from twm_core.data.scenario import RoadLine
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_datasets.commonroad_map import LaneLight, RoadParts
from twm_datasets.commonroad_values import number, positive, shape_of, uncertain_position, uncertain_value

VERSIONS = ("2018b", "2020a")
_TYPES = {"taxi": "car", "priorityVehicle": "car", "parkedVehicle": "car"}


@dataclass(frozen=True)
class RawTrack:
    """One obstacle: its name, type (index into `AGENT_TYPES`), size in metres, first step, and rows `x, y, heading, speed` `[n, 4]`.

    The speed is NaN where the file gives none.
    """

    id: str
    type: int
    length: float
    width: float
    first: int
    rows: NDArray[np.float64]


@dataclass(frozen=True)
class RawFile:
    """One file: its name, benchmark id, seconds per step, lanelets, tracks, how many static obstacles were left out, other lines, lights.

    `skipped` counts what else was left out or not taken as it is.
    """

    name: str
    benchmark: str
    dt: float
    lanelets: tuple[Lanelet, ...]
    tracks: tuple[RawTrack, ...]
    static: int
    lines: tuple[RoadLine, ...] = ()
    lights: tuple[LaneLight, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)


def read_file(path: Path, *, without_tracks: bool = False) -> RawFile:
    """Read one file.

    Args:
        path: The file.
        without_tracks: Whether a file may hold no moving obstacle.

    Raises:
        DataError: It is not well-formed, not CommonRoad, of another version, or an obstacle or lanelet of it is incomplete or impossible;
            the message names the file and the line or the obstacle and step.
    """
    name = path.name
    tracks: list[RawTrack] = []
    road, counts, static = RoadParts(), Counter[str](), 0
    children = read_children(path, "commonRoad", what="CommonRoad scenario files only")
    root = next(children)
    _check_version(root, name)
    for element in children:
        if road.take(element, name, counts):
            continue
        if element.tag == "staticObstacle" or (element.tag == "obstacle" and element.findtext("role", "").strip() == "static"):
            static += 1
        elif element.tag == "phantomObstacle":
            counts["phantom obstacles"] += 1
        elif element.tag in ("obstacle", "dynamicObstacle"):
            if element.find("trajectory") is None and element.find("occupancySet") is not None:
                counts["obstacles with a set of occupancy instead of a trajectory"] += 1
            else:
                tracks.append(_track(element, name, counts))
    if not tracks and not without_tracks:
        raise DataError(f"{name}: holds no moving obstacle", "leave the file out")
    seen: set[str] = set()
    for track in tracks:
        if track.id in seen:
            raise DataError(f"{name}: obstacle {track.id} stands in it twice", "remove one of the two")
        seen.add(track.id)
    lanelets, lines, lights = road.finish()
    return RawFile(
        name=name,
        benchmark=root.get("benchmarkID") or path.stem,
        dt=positive(root.get("timeStepSize"), "timeStepSize", name),
        lanelets=lanelets,
        tracks=tuple(tracks),
        static=static,
        lines=lines,
        lights=lights,
        skipped={reason: n for reason, n in counts.items() if n},
    )


def _check_version(root: ET.Element, name: str) -> None:
    version = root.get("commonRoadVersion")
    if version not in VERSIONS:
        raise DataError(f"{name}: CommonRoad version {version!r} is not supported", f"convert the file to {' or '.join(VERSIONS)}")


def _track(obstacle: ET.Element, name: str, counts: Counter[str]) -> RawTrack:
    whose = f"{name}: obstacle {obstacle.get('id')}"
    initial = obstacle.find("initialState")
    if initial is None:
        raise DataError(f"{whose}: has no initialState", "repair the file")
    table: list[tuple[float, ...]] = []
    for n, state in enumerate((initial, *obstacle.iterfind("trajectory/state"))):
        where = f"{whose}, state {n}"
        time = number(state.findtext("time/exact"), "time", where)
        x, y = uncertain_position(state, where, counts)
        heading = uncertain_value(state, "orientation", where, counts)
        known = state.find("velocity") is not None
        table.append((time, x, y, heading, uncertain_value(state, "velocity", where, counts) if known else math.nan))
    rows = np.asarray(table, dtype=np.float64)
    times = rows[:, 0]
    if (times != np.round(times)).any() or times[0] < 0:
        raise DataError(f"{whose}: its time steps are not whole numbers from 0 on", "times are counted in steps of timeStepSize")
    jumps = np.flatnonzero(np.diff(times) != 1)
    if len(jumps):
        at, to = int(times[jumps[0]]), int(times[jumps[0] + 1])
        raise DataError(
            f"{whose}: time step {at} is followed by {to}, not {at + 1}", "every step between its first and last must be there, once"
        )
    shape = shape_of(obstacle, whose)
    if shape.centre != (0.0, 0.0):
        (dx, dy), cos, sin = shape.centre, np.cos(rows[:, 3]), np.sin(rows[:, 3])
        rows[:, 1:3] += np.stack([dx * cos - dy * sin, dx * sin + dy * cos], axis=1)
    kind = (obstacle.findtext("type") or "unknown").strip()
    kind = _TYPES.get(kind, kind)
    index = AGENT_TYPES.index(kind if kind in AGENT_TYPES else "other")
    return RawTrack(str(obstacle.get("id")), index, shape.length, shape.width, int(times[0]), rows[:, 1:])
