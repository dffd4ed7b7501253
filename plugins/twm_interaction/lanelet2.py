"""Reads a lanelet2 map (OSM XML) into points, lines and lanelets in metres.

A point is a node, with latitude and longitude or, in `.osm_xy` files, x and y (as attributes, or as tags `x`, `y` or `local_x`, `local_y`).
A line is a way over nodes, with a type; a lanelet is a relation whose members are left and right ways. Coordinates are those of the UTM
zone of the origin, less those of the origin, as lanelet2's own projector computes them:

    (x, y) = utm(lat, lon) - utm(origin)        zone = floor((lon_origin + 180) / 6) + 1

The maps of INTERACTION have the origin (0, 0). Format: https://github.com/fzi-forschungszentrum-informatik/Lanelet2 (lanelet2_core/doc).
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.xml_children import read_children
from twm_core.data.recording import LARGEST
from twm_core.errors import DataError
from twm_core.extras import need

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """A line: the ids of its nodes, and its tags."""

    nodes: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Relation:
    """A relation: its members as (type, id, role), and its tags."""

    members: tuple[tuple[str, str, str], ...]
    tags: Mapping[str, str]

    def named(self, kind: str, role: str) -> list[str]:
        """Ids of the members of a type and role."""
        return [ref for what, ref, as_what in self.members if (what, as_what) == (kind, role)]


@dataclass(frozen=True)
class OsmMap:
    """A map: places of nodes `[2]` in metres, ways and relations, by id."""

    name: str
    nodes: Mapping[str, Floats]
    ways: Mapping[str, Way]
    relations: Mapping[str, Relation]

    def line(self, nodes: Sequence[str]) -> Floats:
        """The points `[P, 2]` of some nodes."""
        return np.stack([self.nodes[node] for node in nodes])


def read_osm(path: Path, *, origin: tuple[float, float] = (0.0, 0.0)) -> OsmMap:
    """Read a map.

    Args:
        path: The file.
        origin: Latitude and longitude of the point (0, 0).

    Raises:
        DataError: It is not well-formed, not OSM, or names nodes that it does not hold; file and element are named.
        UsageError: Its nodes have latitude and longitude and pyproj is not installed.
    """
    places: dict[str, tuple[float, float, bool]] = {}
    ways: dict[str, Way] = {}
    relations: dict[str, Relation] = {}
    for element in read_children(path, "osm", what="a lanelet2 map"):
        _take(element, path.name, places, ways, relations)
    for name, way in ways.items():
        missing = [node for node in way.nodes if node not in places]
        if missing:
            raise DataError(f"{path.name}: way {name} names node {missing[0]}, which is not in the file", "export the whole map")
    return OsmMap(path.name, _project(places, origin), ways, relations)


def _take(
    element: ET.Element,
    file: str,
    places: dict[str, tuple[float, float, bool]],
    ways: dict[str, Way],
    relations: dict[str, Relation],
) -> None:
    """Keep one node, way or relation. Elements that an editor deleted are passed over."""
    if element.tag not in ("node", "way", "relation") or element.get("action") == "delete" or element.get("visible") == "false":
        return
    whose = f"{file}: {element.tag} {element.get('id')}"
    name = element.get("id")
    if name is None:
        raise DataError(f"{file}: a {element.tag} has no id", "repair the file")
    tags = {tag.get("k", ""): tag.get("v", "") for tag in element.iterfind("tag")}
    if element.tag == "node":
        places[name] = _place(element, tags, whose)
    elif element.tag == "way":
        ways[name] = Way(tuple(node.get("ref", "") for node in element.iterfind("nd")), tags)
    else:
        members = tuple((m.get("type", ""), m.get("ref", ""), m.get("role", "")) for m in element.iterfind("member"))
        relations[name] = Relation(members, tags)


def _place(node: ET.Element, tags: Mapping[str, str], whose: str) -> tuple[float, float, bool]:
    """x, y and False, or latitude, longitude and True."""
    choices = ((node.attrib, "x", "y"), (tags, "local_x", "local_y"), (tags, "x", "y"))
    for source, x, y in choices:
        if x in source and y in source:
            return _number(source[x], x, whose), _number(source[y], y, whose), False
    lat, lon = _number(node.get("lat"), "lat", whose), _number(node.get("lon"), "lon", whose)
    if abs(lat) > 84 or abs(lon) > 180:
        raise DataError(f"{whose}: latitude {lat:g}, longitude {lon:g} is outside of UTM", "repair the node")
    return lat, lon, True


def _number(text: str | None, what: str, whose: str) -> float:
    if text is None:
        raise DataError(f"{whose}: has neither lat and lon nor x and y", "repair the file")
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{whose}: {what} is {text.strip()[:40]!r}, not a number", "repair the file") from None
    if not math.isfinite(value):
        raise DataError(f"{whose}: {what} is not a finite number", "repair the file")
    if abs(value) > LARGEST:
        raise DataError(f"{whose}: {what} is {value:g}, which is impossible", "repair the file")
    return value


def _project(places: Mapping[str, tuple[float, float, bool]], origin: tuple[float, float]) -> dict[str, Floats]:
    names = list(places)
    values = np.asarray([places[n][:2] for n in names], dtype=np.float64).reshape(-1, 2)
    geographic = np.asarray([places[n][2] for n in names], dtype=bool)
    if geographic.any():
        values[geographic] = utm(values[geographic], origin)
    return dict(zip(names, values, strict=True))


def utm(lat_lon: Floats, origin: tuple[float, float]) -> Floats:
    """Metres `[R, 2]` east and north of the origin, in its UTM zone, for latitudes and longitudes `[R, 2]` in degrees (WGS 84)."""
    pyproj = need("pyproj", "data")
    zone = min(60, math.floor((origin[1] + 180) / 6) + 1)
    projection = pyproj.Proj(proj="utm", zone=zone, ellps="WGS84")
    x, y = projection(lat_lon[:, 1], lat_lon[:, 0])
    x0, y0 = projection(origin[1], origin[0])
    return np.stack([np.asarray(x) - x0, np.asarray(y) - y0], axis=1)


_SPEED = re.compile(r"(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>km/?h|kmph|kph|mph|m/s|mps)?", re.IGNORECASE)
_SIGN = re.compile(r"de274-(?P<value>\d+)", re.IGNORECASE)


def metres_per_second(text: str) -> float | None:
    """A speed limit as lanelet2 writes it (`50 km/h`, `15mph`, `de274-60`); km/h where there is no unit; None where it is none."""
    if sign := _SIGN.fullmatch(text.strip()):
        return float(sign["value"]) / 3.6
    match = _SPEED.fullmatch(text.strip())
    if match is None:
        return None
    unit = (match["unit"] or "km/h").casefold()
    return float(match["value"]) * {"mph": 0.44704, "m/s": 1.0, "mps": 1.0}.get(unit, 1 / 3.6)
