"""The road of a CommonRoad file: lanelets with neighbours, successors and speed limits; stop lines, crosswalks, obstacles; traffic lights.

2018b states a `speedLimit` in each lanelet; in 2020a lanelets refer to traffic signs, whose additional value is the limit in m/s.
Successors are taken from both sides: where a lanelet names its predecessor only, it is added there. Lanelets of type crosswalk or
sidewalk are outlines, not lanes. A traffic light shows the states of its cycle, one after another and again, from its `timeOffset` on.

Format: https://commonroad.in.tum.de (XML documentation 2018b and 2020a, with their schema).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from twm_core.data.roads.lane_lines import LONGEST_LANE, Lanelet, line_length
from twm_core.data.scenario import LIGHT_STATES, RoadLine
from twm_core.errors import DataError
from twm_datasets.commonroad_values import number, outline, points

LIMITS = ("274", "R2-1", "R301")
"""Signs of speed limits: of Germany (and of Zamunda and China, which use its numbers), the USA (and Puerto Rico), Spain."""

OUTLINES = {"crosswalk": "crosswalk", "sidewalk": "area"}
"""Kinds of road lines by types of lanelets that are no lanes."""

COLOURS = {"red": "red", "redYellow": "red", "yellow": "yellow", "green": "green", "inactive": "off"}
"""States of lights by colour; red and yellow together still say stop."""


@dataclass(frozen=True)
class Light:
    """A traffic light: its colours with their steps, and the step at which the first begins. Inactive lights are `off` for ever."""

    cycle: tuple[tuple[int, str], ...]
    offset: int

    def states(self, begin: int, steps: int) -> NDArray[np.uint8]:
        """uint8 `[T]`, index into `LIGHT_STATES`, of the steps from `begin` on."""
        if not self.cycle:
            return np.zeros(steps, dtype=np.uint8)
        ends = np.cumsum([duration for duration, _ in self.cycle])
        at = (begin + np.arange(steps) - self.offset) % int(ends[-1])
        colours = np.asarray([LIGHT_STATES.index(colour) for _, colour in self.cycle], dtype=np.uint8)
        return colours[np.searchsorted(ends, at, side="right")]


@dataclass(frozen=True)
class LaneLight:
    """A light that governs a lane: the lane's id, the light, and where one stops `[2]`."""

    lane: str
    light: Light
    stop: NDArray[np.float64]


@dataclass
class RoadParts:
    """What the file holds of the road, as it is read; `finish` puts it together."""

    lanelets: list[Lanelet] = field(default_factory=list)
    lines: list[RoadLine] = field(default_factory=list)
    predecessors: list[tuple[str, str]] = field(default_factory=list)
    stops: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    signs_of: dict[str, list[str]] = field(default_factory=dict)
    lights_of: dict[str, list[str]] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    lights: dict[str, Light] = field(default_factory=dict)

    def take(self, element: ET.Element, file: str, counts: Counter[str]) -> bool:
        """Read a child of the root, if it is one of the road; whether it was."""
        if element.tag == "lanelet":
            self._lanelet(element, file)
        elif element.tag == "trafficSign":
            self._sign(element, file, counts)
        elif element.tag == "trafficLight":
            self.lights[str(element.get("id"))] = _light(element, f"{file}: traffic light {element.get('id')}")
        elif element.tag == "environmentObstacle":
            whose = f"{file}: environment obstacle {element.get('id')}"
            self.lines.extend(RoadLine("obstacle", outline(part, whose)) for part in element.iterfind("shape/*") if part.tag in _SHAPES)
        else:
            return False
        return True

    def _lanelet(self, lanelet: ET.Element, file: str) -> None:
        name = str(lanelet.get("id"))
        whose = f"{file}: lanelet {name}"
        if name in self.signs_of:
            raise DataError(f"{whose} stands in it twice", "remove one of the two")
        bounds: list[NDArray[np.float64]] = []
        for side in ("leftBound", "rightBound"):
            bound = points(lanelet, f"{side}/point", whose)
            if len(bound) < 2:
                raise DataError(f"{whose}: {side} has {len(bound)} point(s), a bound needs two", "repair the file")
            if (length := line_length(bound)) > LONGEST_LANE:
                raise DataError(f"{whose}: {side} is {length:g} m long, which is impossible", "repair the file")
            bounds.append(bound)
        kinds = [(kind.text or "").strip() for kind in lanelet.iterfind("laneletType")]
        if kind := next((kind for kind in kinds if kind in OUTLINES), None):
            ring = np.concatenate([bounds[0], bounds[1][::-1], bounds[0][:1]])
            self.lines.append(RoadLine(OUTLINES[kind], ring))
            return
        beside: dict[str, str | None] = {}
        for side in ("adjacentLeft", "adjacentRight"):
            neighbour = lanelet.find(side)
            beside[side] = neighbour.get("ref") if neighbour is not None and neighbour.get("drivingDir") == "same" else None
        limit = lanelet.findtext("speedLimit")
        self.lanelets.append(
            Lanelet(
                id=name,
                left_bound=bounds[0],
                right_bound=bounds[1],
                successors=tuple(str(s.get("ref")) for s in lanelet.iterfind("successor")),
                left=beside["adjacentLeft"],
                right=beside["adjacentRight"],
                speed_limit=None if limit is None else number(limit, "speedLimit", whose),
            )
        )
        self.predecessors.extend((str(p.get("ref")), name) for p in lanelet.iterfind("predecessor"))
        self.signs_of[name] = [str(s.get("ref")) for s in lanelet.iterfind("trafficSignRef")]
        self.lights_of[name] = [str(s.get("ref")) for s in lanelet.iterfind("trafficLightRef")]
        self.stops[name] = np.stack([bounds[0][-1], bounds[1][-1]])
        if lanelet.find("stopLine") is not None:
            line = points(lanelet, "stopLine/point", whose)
            # A stop line without points lies across the end of the lanelet.
            self.stops[name] = line if len(line) == 2 else self.stops[name]
            self.lines.append(RoadLine("stop", self.stops[name]))

    def _sign(self, sign: ET.Element, file: str, counts: Counter[str]) -> None:
        whose = f"{file}: traffic sign {sign.get('id')}"
        for element in sign.iterfind("trafficSignElement"):
            kind = (element.findtext("trafficSignID") or "").strip()
            value = element.findtext("additionalValue")
            if kind in LIMITS and value is not None:
                self.limits[str(sign.get("id"))] = number(value, "additionalValue", whose)
            else:
                counts["traffic signs other than speed limits"] += 1

    def finish(self) -> tuple[tuple[Lanelet, ...], tuple[RoadLine, ...], tuple[LaneLight, ...]]:
        """Lanelets, other lines, and the lights of lanes."""
        before: dict[str, list[str]] = {}
        for first, then in self.predecessors:
            before.setdefault(first, []).append(then)
        lanelets = []
        for lanelet in self.lanelets:
            more = [name for name in before.get(lanelet.id, []) if name not in lanelet.successors]
            limits = [self.limits[sign] for sign in self.signs_of[lanelet.id] if sign in self.limits]
            limit = min(limits) if limits and lanelet.speed_limit is None else lanelet.speed_limit
            lanelets.append(replace(lanelet, successors=(*lanelet.successors, *more), speed_limit=limit))
        lights = [
            LaneLight(lanelet.id, self.lights[name], self.stops[lanelet.id].mean(axis=0))
            for lanelet in self.lanelets
            for name in self.lights_of[lanelet.id]
            if name in self.lights
        ]
        return tuple(lanelets), tuple(self.lines), tuple(lights)


_SHAPES = ("rectangle", "circle", "polygon")


def _light(element: ET.Element, whose: str) -> Light:
    if (element.findtext("active") or "true").strip() in ("false", "0"):
        return Light(((1, "off"),), 0)
    cycle: list[tuple[int, str]] = []
    for part in element.iterfind("cycle/cycleElement"):
        duration, colour = number(part.findtext("duration"), "duration", whose), (part.findtext("color") or "").strip()
        if duration < 1 or duration != round(duration):
            raise DataError(f"{whose}: a duration is {duration:g}, not a number of steps from 1 on", "repair the file")
        if colour not in COLOURS:
            raise DataError(f"{whose}: colour {colour!r} is none of {', '.join(COLOURS)}", "repair the file")
        cycle.append((int(duration), COLOURS[colour]))
    return Light(tuple(cycle), int(number(element.findtext("cycle/timeOffset", "0"), "timeOffset", whose)))
