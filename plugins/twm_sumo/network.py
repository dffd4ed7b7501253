"""SUMO's network file (`.net.xml`) as a road map.

Coordinates are those of the network, metres, x to the east and y to the north; `netOffset` is what was added to the projected coordinates
(network = projected + offset). A lane's `shape` is its centre line; SUMO's lanes are as wide everywhere, so their bounds are the centre
line moved sideways by half the width. Lane 0 of an edge is the rightmost. Inside junctions, internal lanes (`:junction_edge_lane`) lead
from the lane before to the lane behind, named by `via` of the connection. What no vehicle may use (footways, crossings, walking areas)
becomes lines of the map, not lanes.

Format: sumo.dlr.de, Networks/SUMO_Road_Networks.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import Lane, RoadLine, RoadMap
from twm_core.errors import DataError
from twm_sumo.xml_stream import number, tags, text

Floats = NDArray[np.float64]

DEFAULT_WIDTH = 3.2
"""Metres, where a lane states no width."""


@dataclass(frozen=True)
class Signal:
    """One signal of a traffic light: place of its letter in the light's state, and the lane before it."""

    light: str
    index: int
    lane: str


@dataclass(frozen=True)
class Network:
    """What a network file says.

    Attributes:
        road: The road map in network coordinates.
        signals: Every controlled connection.
        offset: `netOffset`: network = projected + offset.
        bounds: `convBoundary`: smallest x, y and largest x, y of the network; None where the file lacks it.
        projected: Whether the file names a geographic projection.
    """

    road: RoadMap
    signals: tuple[Signal, ...] = ()
    offset: tuple[float, float] = (0.0, 0.0)
    bounds: tuple[float, float, float, float] | None = None
    projected: bool = False


@dataclass
class _Edge:
    function: str
    ends: tuple[str, str]
    lanes: list[str] = field(default_factory=list)


@dataclass
class _LaneFound:
    edge: str
    centre: Floats
    width: float
    speed: float
    vehicles: bool
    successors: list[str] = field(default_factory=list)


def read_network(path: Path) -> Network:
    """Read a network.

    Raises:
        DataError: The file is malformed (the line is named) or has no lanes.
    """
    edges: dict[str, _Edge] = {}
    lanes: dict[str, _LaneFound] = {}
    areas: list[Floats] = []
    links: list[tuple[dict[str, str], str]] = []
    location: dict[str, str] = {}
    at_location, edge = "", ""
    for name, attributes, line in tags(path):
        where = f"{path.name}, line {line}"
        if name == "edge":
            edge = text(attributes, "id", where)
            edges[edge] = _Edge(attributes.get("function", "normal"), (attributes.get("from", ""), attributes.get("to", "")))
        elif name == "lane":
            if not edge:
                raise DataError(f"{where}: a lane before the first edge", "write the network again with netconvert")
            identity = text(attributes, "id", where)
            if identity in lanes:
                raise DataError(f"{where}: lane {identity} stands there twice", "remove one")
            lanes[identity] = _lane(attributes, edge, where)
            edges[edge].lanes.append(identity)
        elif name == "junction" and attributes.get("type") != "internal" and attributes.get("shape"):
            shape = _points(attributes["shape"], where)
            if len(shape) > 2:
                areas.append(shape)
        elif name == "connection":
            links.append((attributes, where))
        elif name == "location":
            location, at_location = attributes, where
    if not lanes:
        raise DataError(f"{path.name} has no lanes", "give a network written by netconvert (.net.xml)")
    signals = _connect(links, edges, lanes)
    offset = _numbers(location.get("netOffset", "0,0"), 2, at_location)
    bounds = _numbers(location["convBoundary"], 4, at_location) if "convBoundary" in location else None
    return Network(
        road=_road(edges, lanes, areas),
        signals=signals,
        offset=(offset[0], offset[1]),
        bounds=None if bounds is None else (bounds[0], bounds[1], bounds[2], bounds[3]),
        projected=location.get("projParameter", "!") not in ("!", "-", ""),
    )


def _lane(attributes: dict[str, str], edge: str, where: str) -> _LaneFound:
    shape = _points(text(attributes, "shape", where), where)
    width = number(attributes.get("width", str(DEFAULT_WIDTH)), "width", where)
    speed = number(text(attributes, "speed", where), "speed", where)
    if width <= 0 or width > 1000 or speed < 0:
        raise DataError(f"{where}: width {width:g} m or speed {speed:g} m/s is impossible", "repair the line")
    allowed, disallowed = attributes.get("allow", "all").split(), attributes.get("disallow", "").split()
    on_foot = bool(allowed) and set(allowed) <= {"pedestrian", "wheelchair"}
    return _LaneFound(edge, shape, width, speed, not on_foot and "all" not in disallowed)


def _points(shape: str, where: str) -> Floats:
    """Points `[P, 2]` of a shape such as `1.0,2.0 3.0,4.0`; heights are left out, repeated points too."""
    points: list[tuple[float, float]] = []
    for entry in shape.split():
        values = entry.split(",")
        if len(values) not in (2, 3):
            raise DataError(f"{where}: {entry!r} is not a point x,y", "repair the line")
        points.append((number(values[0], "x", where), number(values[1], "y", where)))
    found = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if len(found) < 2:
        raise DataError(f"{where}: a shape of {len(found)} points", "a shape needs two")
    keep = np.concatenate([[True], np.hypot(*np.diff(found, axis=0).T) > 1e-3])
    return found[keep] if keep.sum() > 1 else found[:1] + np.asarray([[0.0, 0.0], [0.01, 0.0]])


def _numbers(values: str, count: int, where: str) -> list[float]:
    found = [number(v, "a coordinate of the location", where) for v in values.split(",")]
    if len(found) != count:
        raise DataError(f"{where}: {values!r} are not {count} numbers", "repair the line")
    return found


def _connect(links: list[tuple[dict[str, str], str]], edges: dict[str, _Edge], lanes: dict[str, _LaneFound]) -> tuple[Signal, ...]:
    """Fill in the successors; the signals of controlled connections."""
    signals: dict[Signal, None] = {}
    for attributes, where in links:
        ends = []
        for edge, lane in (("from", "fromLane"), ("to", "toLane")):
            name, index = text(attributes, edge, where), number(text(attributes, lane, where), lane, where)
            known = edges[name].lanes if name in edges else []
            if index != int(index) or not 0 <= index < len(known):
                raise DataError(f"{where}: there is no lane {index:g} of edge {name!r}", "write the network again with netconvert")
            ends.append(known[int(index)])
        before, behind = ends
        via = attributes.get("via", behind)
        if via not in lanes:
            raise DataError(f"{where}: there is no lane {via!r}", "write the network again with netconvert")
        if via not in lanes[before].successors:
            lanes[before].successors.append(via)
        if attributes.get("tl"):
            index = number(text(attributes, "linkIndex", where), "linkIndex", where)
            if index != int(index) or index < 0:
                raise DataError(f"{where}: linkIndex {index:g} is not a count", "write the network again with netconvert")
            signals[Signal(attributes["tl"], int(index), before)] = None
    return tuple(signals)


def _road(edges: dict[str, _Edge], lanes: dict[str, _LaneFound], areas: list[Floats]) -> RoadMap:
    found: list[Lane] = []
    lines: list[RoadLine] = [RoadLine("area", _closed(shape)) for shape in areas]
    by_ends: defaultdict[tuple[str, str], int] = defaultdict(int)
    for edge in edges.values():
        by_ends[edge.ends] += edge.function == "normal"
    for edge in edges.values():
        driven = [n for n in edge.lanes if lanes[n].vehicles and edge.function not in ("crossing", "walkingarea")]
        for name in edge.lanes:
            here = lanes[name]
            if edge.function == "walkingarea":
                lines.append(RoadLine("area", _closed(here.centre)))  # The shape of a walking area is its outline.
            elif name not in driven:
                ring = np.concatenate([sideways(here.centre, here.width / 2), sideways(here.centre, -here.width / 2)[::-1]])
                lines.append(RoadLine("crosswalk" if edge.function == "crossing" else "area", _closed(ring)))
        for i, name in enumerate(driven):
            here = lanes[name]
            found.append(
                Lane(
                    id=name,
                    centre=here.centre,
                    width=here.width,
                    left_boundary=sideways(here.centre, here.width / 2),
                    right_boundary=sideways(here.centre, -here.width / 2),
                    successors=tuple(s for s in here.successors if lanes[s].vehicles),
                    left=driven[i + 1] if i + 1 < len(driven) else None,
                    right=driven[i - 1] if i else None,
                    speed_limit=here.speed,
                )
            )
        if driven and edge.function == "normal":
            outer, inner = lanes[driven[0]], lanes[driven[-1]]
            lines.append(RoadLine("edge", sideways(outer.centre, -outer.width / 2)))
            # Where the way back runs along the left side, that side is a marking, not the edge of the road.
            both = by_ends[edge.ends[::-1]] > 0
            lines.append(RoadLine("line" if both else "edge", sideways(inner.centre, inner.width / 2)))
    return RoadMap(tuple(found), tuple(lines))


def _closed(ring: Floats) -> Floats:
    return np.concatenate([ring, ring[:1]])


def sideways(line: Floats, metres: float | Floats) -> Floats:
    """The line `[P, 2]` moved to its left by `metres` (one number or `[P]`; to its right below 0), mitred, at most twice as far."""
    step = np.diff(line, axis=0)
    unit = step / np.maximum(np.hypot(*step.T), 1e-9)[:, None]
    normal = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    before, after = np.concatenate([normal[:1], normal]), np.concatenate([normal, normal[-1:]])
    middle = before + after
    # A point between two segments moves along the bisector, by 1 / cos(half the turn): 2 / |n1 + n2|^2 (n1 + n2).
    scale = 2.0 / np.maximum((middle**2).sum(axis=1), 1.0)
    return line + (metres * scale)[:, None] * middle
