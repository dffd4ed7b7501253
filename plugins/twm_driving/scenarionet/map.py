"""Roads and traffic lights of a ScenarioNet scenario.

Lanes (`LANE_*`) have a centre line, from nuScenes and nuPlan also an outline (`polygon`), from Waymo a width to both sides. nuScenes puts
the direction of the lane in the third column of its points, which is left out like every height. Speed limits are read from Waymo and
nuPlan only: for nuScenes and Argoverse the converters write a constant.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from twm_core.data.scenario import LIGHT_STATES, Lights, RoadMap
from twm_core.errors import DataError
from twm_driving.roads import LaneDraft, RoadDraft, check_points
from twm_driving.scenarionet.plain_pickle import Array
from twm_driving.scenarionet.values import array, key, mapping, points, texts
from twm_driving.values import Floats, brief

MOST_POINTS = 5_000_000
"""Most points of a map, since one array of a pickle can be named by many features."""

OUTLINES = {"CROSSWALK": "crosswalk", "SPEED_BUMP": "area", "DRIVEWAY": "area", "ROAD_EDGE_SIDEWALK": "area"}
KMH, MPH = 1 / 3.6, 0.44704
INVENTED_LIMITS = ("nuscenes", "av2", "argoverse2", "argoverse")
"""Datasets that have no speed limits; the converters write 100 km/h or 85 mph."""


def read_road(features: dict[Any, Any], dataset: str, lane_width: float, file: str, counts: Counter[str]) -> RoadMap | None:
    """The road map.

    Raises:
        DataError: A feature is damaged; the message names it.
    """
    draft = RoadDraft(counts)
    total = 0
    for identity, given in features.items():
        name = key(identity, file, "a map feature's id")
        where = f"{file}: map feature {name}"
        feature = mapping(given, where, "it")
        kind = brief(feature.get("type"))
        shape = {k: check_points(points(feature[k], where, k), where) for k in ("polyline", "polygon") if feature.get(k) is not None}
        total += sum(map(len, shape.values()))
        if total > MOST_POINTS:
            raise DataError(f"{where}: the map has more than {MOST_POINTS} points", "cut the map")
        if kind.startswith("LANE_"):
            draft.lanes.append(_lane(name, feature, shape, dataset, where))
        elif kind in OUTLINES and ("polygon" in shape or "polyline" in shape):
            draft.add_line(OUTLINES[kind], shape.get("polygon", shape.get("polyline", np.zeros((0, 2)))), ring=True)
        elif (kind.startswith(("ROAD_LINE_", "ROAD_EDGE_")) or kind in ("UNKNOWN_LINE", "UNKNOWN")) and "polyline" in shape:
            # ScenarioNet gives the boundary of nuScenes' drivable area the type of a solid white line and this name.
            edge = kind.startswith("ROAD_EDGE_") or kind == "UNKNOWN" or (dataset == "nuscenes" and name.startswith("boundary_"))
            draft.add_line("edge" if edge else "line", shape["polyline"])
        else:
            counts[f"map features of type {kind[:40]}"] += 1
    return draft.finish(lane_width, file)


def _lane(name: str, feature: dict[Any, Any], shape: dict[str, Floats], dataset: str, where: str) -> LaneDraft:
    return LaneDraft(
        id=name,
        centre=shape.get("polyline"),
        outline=shape.get("polygon"),
        width=_width(feature.get("width"), where),
        successors=texts(feature.get("exit_lanes") or [], where, "exit_lanes"),
        left=_beside(feature, "left_neighbor", where),
        right=_beside(feature, "right_neighbor", where),
        speed_limit=None if dataset in INVENTED_LIMITS else _limit(feature),
    )


def _width(value: Any, where: str) -> float | None:
    """Mean of the widths to the left and right `[P, 2]`, where both are known."""
    if value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    widths = points(value, where, "width")
    known = widths[(widths > 0).all(axis=1)]
    return float(known.sum(axis=1).mean()) if len(known) else None


def _beside(feature: dict[Any, Any], side: str, where: str) -> list[str]:
    found = feature.get(side, feature.get(f"{side}s"))
    if found is None:
        return []
    if isinstance(found, (list, tuple)) and all(isinstance(v, dict) for v in found):
        return [key(v.get("feature_id"), where, side) for v in found]
    return [key(found, where, side)] if isinstance(found, str | int) else texts(found, where, side)


def _limit(feature: dict[Any, Any]) -> float | None:
    for name, unit in (("speed_limit_mph", MPH), ("speed_limit_kmh", KMH)):
        value = feature.get(name)
        if isinstance(value, int | float) and 0 < value < 200:
            return float(value) * unit
    return None


def light_state(word: str) -> int:
    """Index into `LIGHT_STATES` of Waymo's or MetaDrive's name of a state: `LANE_STATE_ARROW_STOP`, `TRAFFIC_LIGHT_GREEN`, `arrow_stop`."""
    colours = {"STOP": "red", "RED": "red", "CAUTION": "yellow", "YELLOW": "yellow", "GO": "green", "GREEN": "green", "OFF": "off"}
    return LIGHT_STATES.index(colours.get(word.upper().rpartition("_")[2], "unknown"))


def read_lights(states: dict[Any, Any], steps: int, file: str, counts: Counter[str]) -> Lights | None:
    """The traffic lights, or None where there are none.

    Raises:
        DataError: A light is damaged; the message names it.
    """
    lanes: list[str] = []
    colours: list[list[int]] = []
    stops: list[Floats] = []
    for identity, given in states.items():
        name = key(identity, file, "a light's id")
        where = f"{file}: light {name}"
        light = mapping(given, where, "it")
        if not brief(light.get("type", "TRAFFIC_LIGHT")).startswith("TRAFFIC_LIGHT"):
            counts["dynamic map states that are no traffic lights"] += 1
            continue
        shown = mapping(light.get("state"), where, "state").get("object_state")
        if isinstance(shown, Array):
            shown = shown.numpy().tolist()
        if not isinstance(shown, (list, tuple)) or len(shown) != steps:
            raise DataError(f"{where}: object_state has not {steps} entries", "convert the scenario again")
        lanes.append(key(light["lane"], where, "lane") if light.get("lane") is not None else name)
        colours.append([light_state(word) if isinstance(word, str) else 0 for word in shown])
        stop = light.get("stop_point")
        stops.append(np.full(2, np.nan) if stop is None else array(stop, where, "stop_point", max(2, _size(stop)), (1,))[:2, 0])
    if not lanes:
        return None
    return Lights(tuple(lanes), np.array(colours, dtype=np.uint8), check_stops(np.stack(stops), file))


def check_stops(stops: Floats, file: str) -> Floats:
    """The points `[L, 2]` where one stops; not known where not finite.

    Raises:
        DataError: A coordinate is too large.
    """
    known = np.where(np.isfinite(stops), stops, np.nan)
    check_points(known[np.isfinite(known).all(axis=1)], f"{file}: stop points")
    return known


def _size(stop: Any) -> int:
    if isinstance(stop, Array):
        return int(stop.numpy().size)
    return len(stop) if isinstance(stop, (list, tuple)) else 0
