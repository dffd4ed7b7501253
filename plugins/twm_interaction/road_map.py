"""From a lanelet2 map to a road map: lanes with direction, neighbours and successors, and the other lines.

Left and right bound of a lanelet may run either way. They are turned so that they run alike and the left one lies to the left of the
right one, which gives the driving direction. Two lanelets of a way follow one another where both bounds of the first end at the nodes at
which those of the second begin; they are neighbours of the same direction where the left bound of one is, node by node, the right
bound of the other. A bound of several ways is put together at their common ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from twm_core.data.roads.lane_lines import LONGEST_LANE, Lanelet, line_length, make_lanes
from twm_core.data.scenario import RoadLine, RoadMap
from twm_core.errors import DataError
from twm_interaction.lanelet2 import Floats, OsmMap, Relation, metres_per_second

DRIVEN = ("", "road", "highway", "play_street", "emergency_lane", "bus_lane", "bicycle_lane", "exit")
"""Subtypes of lanelets that become lanes. A `crosswalk` becomes the outline of a crosswalk, others become areas."""

LINES = {
    "curbstone": "edge",
    "road_border": "edge",
    "guard_rail": "edge",
    "wall": "edge",
    "fence": "edge",
    "jersey_barrier": "edge",
    "line_thin": "line",
    "line_thick": "line",
    "bike_marking": "line",
    "keepout": "line",
    "pedestrian_marking": "crosswalk",
    "zebra_marking": "crosswalk",
    "stop_line": "stop",
}
"""Kinds of road lines by type of way. Others (`virtual`, signs, lights) are not drawn."""

OBSTACLES = ("keepout", "building", "vegetation", "traffic_island")
"""Subtypes of areas (multipolygons) that are obstacles; others are areas."""


class Bounds(NamedTuple):
    """Left and right bound of a lanelet in driving direction, as ids of nodes."""

    left: tuple[str, ...]
    right: tuple[str, ...]


def make_road_map(osm: OsmMap) -> tuple[RoadMap, dict[str, int]]:
    """The road map, and what of the file was left out, by reason."""
    left_out: Counter[str] = Counter()
    driven: dict[str, Bounds] = {}
    lines: list[RoadLine] = []
    for name, relation in osm.relations.items():
        kind = relation.tags.get("type")
        if kind == "lanelet":
            bounds = _bounds(osm, relation)
            if bounds is None:
                left_out["lanelets of the map whose bounds are missing or do not join"] += 1
            elif relation.tags.get("subtype", "") in DRIVEN:
                driven[name] = bounds
            else:
                ring = np.concatenate([osm.line(bounds.left), osm.line(bounds.right)[::-1]])
                what = "crosswalk" if relation.tags["subtype"] == "crosswalk" else "area"
                lines.append(RoadLine(what, np.concatenate([ring, ring[:1]])))
        elif kind == "multipolygon":
            outline = chain([osm.ways[ref].nodes for ref in relation.named("way", "outer") if ref in osm.ways])
            if outline is None:
                left_out["areas of the map whose outline does not join"] += 1
            else:
                what = "obstacle" if relation.tags.get("subtype") in OBSTACLES else "area"
                lines.append(RoadLine(what, osm.line(outline)))
    for way in osm.ways.values():
        what = LINES.get(way.tags.get("type", ""))
        if what is not None and len(way.nodes) > 1:
            lines.append(RoadLine(what, osm.line(way.nodes)))
    return RoadMap(make_lanes(_lanelets(osm, driven)), tuple(lines)), dict(left_out)


def _lanelets(osm: OsmMap, driven: dict[str, Bounds]) -> list[Lanelet]:
    begins: dict[tuple[str, str], list[str]] = {}
    on_left = {bounds.left: name for name, bounds in driven.items()}
    on_right = {bounds.right: name for name, bounds in driven.items()}
    for name, bounds in driven.items():
        begins.setdefault((bounds.left[0], bounds.right[0]), []).append(name)
    found = []
    for name, bounds in driven.items():
        if (length := max(line_length(osm.line(side)) for side in bounds)) > LONGEST_LANE:
            raise DataError(f"{osm.name}: lanelet {name} is {length:g} m long, which is impossible", "repair the nodes of its ways")
        found.append(
            Lanelet(
                id=name,
                left_bound=osm.line(bounds.left),
                right_bound=osm.line(bounds.right),
                successors=tuple(n for n in begins.get((bounds.left[-1], bounds.right[-1]), []) if n != name),
                left=on_right.get(bounds.left),
                right=on_left.get(bounds.right),
                speed_limit=_speed_limit(osm, osm.relations[name]),
            )
        )
    return found


def _bounds(osm: OsmMap, relation: Relation) -> Bounds | None:
    sides: list[tuple[str, ...]] = []
    for role in ("left", "right"):
        ways = [osm.ways[ref].nodes for ref in relation.named("way", role) if ref in osm.ways]
        side = chain(ways)
        if side is None or len(set(side)) < 2:
            return None
        sides.append(side)
    left, right = sides
    if _far_apart(osm.line(left), osm.line(right)) > _far_apart(osm.line(left), osm.line(right[::-1])):
        right = right[::-1]
    ring = np.concatenate([osm.line(left), osm.line(right)[::-1]])
    return Bounds(left, right) if signed_area(ring) <= 0 else Bounds(left[::-1], right[::-1])


def _far_apart(a: Floats, b: Floats) -> float:
    """Distance of the beginnings plus distance of the ends."""
    return float(np.hypot(*(a[0] - b[0])) + np.hypot(*(a[-1] - b[-1])))


def signed_area(ring: Floats) -> float:
    """Area of a polygon `[V, 2]`, positive where it runs counter-clockwise."""
    x, y = (ring - ring[0]).T
    return float(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def chain(ways: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Ways joined at common ends to one line, some turned round; None where they do not join.

    It runs as the first way that is given runs.
    """
    rest = [way for way in ways if way]
    if not rest:
        return None
    joined = rest.pop(0)
    while rest:
        for i, way in enumerate(rest):
            for piece in (way, way[::-1]):
                if piece[0] == joined[-1]:
                    joined = joined + piece[1:]
                elif piece[-1] == joined[0]:
                    joined = piece + joined[1:]
                else:
                    continue
                break
            else:
                continue
            del rest[i]
            break
        else:
            return None
    return joined


def _speed_limit(osm: OsmMap, lanelet: Relation) -> float | None:
    """The lanelet's own limit, else the lowest of its regulatory elements; m/s."""
    if (limit := metres_per_second(lanelet.tags.get("speed_limit", ""))) is not None:
        return limit
    found = []
    for ref in lanelet.named("relation", "regulatory_element"):
        element = osm.relations.get(ref)
        if element is not None and element.tags.get("subtype") == "speed_limit":
            found.append(metres_per_second(element.tags.get("sign_type", "")))
            signs = [osm.ways[way].tags.get("subtype", "") for way in element.named("way", "refers") if way in osm.ways]
            found.extend(metres_per_second(sign) for sign in signs)
    known = [limit for limit in found if limit is not None]
    return min(known) if known else None
