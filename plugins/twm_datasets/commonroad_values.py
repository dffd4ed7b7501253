"""Values of a CommonRoad file: numbers, exact values and intervals, positions and regions, shapes; with errors that name their place."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twm_core.data.recording import LARGEST
from twm_core.errors import DataError

UNCERTAIN = "values given as intervals or regions, taken at their middle"
"""How such values are counted."""


class Shape(NamedTuple):
    """Length and width of an obstacle along and across its orientation, and its centre seen from the obstacle's position."""

    length: float
    width: float
    centre: tuple[float, float]


def number(text: str | None, what: str, whose: str) -> float:
    """A number.

    Raises:
        DataError: There is none, it is not finite, or it is beyond any quantity of a recording.
    """
    if text is None:
        raise DataError(f"{whose}: {what} is missing", "states need a time, a position and an orientation; shapes need their sizes")
    try:
        value = float(text)
    except ValueError:
        raise DataError(f"{whose}: {what} is {text.strip()[:40]!r}, not a number", "repair the file") from None
    if not math.isfinite(value):
        raise DataError(f"{whose}: {what} is {text.strip()[:40]}, not a finite number", "remove or repair this state")
    if abs(value) > LARGEST:
        raise DataError(f"{whose}: {what} is {value:g}, which is impossible", "repair the file")
    return value


def positive(text: str | None, what: str, whose: str) -> float:
    """A number above 0, else a DataError."""
    value = number(text, what, whose)
    if value <= 0:
        raise DataError(f"{whose}: {what} is {value:g}, not positive", "repair the file")
    return value


def uncertain_value(element: ET.Element, what: str, whose: str, counts: Counter[str]) -> float:
    """An exact value, or the middle of an interval, which is counted."""
    exact = element.findtext(f"{what}/exact")
    if exact is not None:
        return number(exact, what, whose)
    begin, end = element.findtext(f"{what}/intervalStart"), element.findtext(f"{what}/intervalEnd")
    if begin is None and end is None:
        return number(None, what, whose)
    counts[UNCERTAIN] += 1
    return (number(begin, f"intervalStart of {what}", whose) + number(end, f"intervalEnd of {what}", whose)) / 2


def uncertain_position(state: ET.Element, whose: str, counts: Counter[str]) -> tuple[float, float]:
    """A point, or the middle of a region, which is counted."""
    position = state.find("position")
    point = None if position is None else position.find("point")
    if position is None or point is not None or not len(position):
        x, y = (None if point is None else point.findtext(c) for c in ("x", "y"))
        return number(x, "x", whose), number(y, "y", whose)
    counts[UNCERTAIN] += 1
    for tag in ("rectangle", "circle"):
        if (region := position.find(tag)) is not None:
            return _centre(region, whose)
    if (region := position.find("polygon")) is not None:
        low, high = _box(region, whose)
        return float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2
    raise DataError(f"{whose}: its position is a <{position[0].tag}>", "give a point, or a region (rectangle, circle, polygon)")


def shape_of(obstacle: ET.Element, whose: str) -> Shape:
    """The size of an obstacle: of its rectangle, circle or polygon; of the box around them where there are several."""
    shape = obstacle.find("shape")
    parts = [] if shape is None else [part for part in shape if part.tag in ("rectangle", "circle", "polygon")]
    boxes: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for part in parts:
        if part.tag == "polygon" and len(part.findall("point")) < 3:
            break
        boxes.append(_extent(part, whose))
    if not parts or len(boxes) < len(parts):
        raise DataError(
            f"{whose}: its shape is neither a rectangle nor a circle nor a polygon of three points or more",
            "replace the shape by its bounding rectangle",
        )
    low, high = np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)
    size, centre = high - low, (low + high) / 2
    if not (size > 0).all():
        raise DataError(f"{whose}: its shape has no extent", "repair the file")
    return Shape(float(size[0]), float(size[1]), (float(centre[0]), float(centre[1])))


def points(element: ET.Element, path: str, whose: str) -> NDArray[np.float64]:
    """The points `[P, 2]` below a path."""
    values = [[number(p.findtext(c), f"{path.split('/')[0]} {c}", whose) for c in ("x", "y")] for p in element.iterfind(path)]
    return np.asarray(values, dtype=np.float64).reshape(-1, 2)


def outline(part: ET.Element, whose: str) -> NDArray[np.float64]:
    """The closed outline `[P, 2]` of a rectangle, circle (16 sides) or polygon in its own frame."""
    if part.tag == "polygon":
        ring = points(part, "point", whose)
    else:
        if part.tag == "circle":
            angle = np.arange(16) * (2 * np.pi / 16)
            ring = positive(part.findtext("radius"), "radius", whose) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        else:
            length = positive(part.findtext("length"), "length", whose)
            width = positive(part.findtext("width"), "width", whose)
            ring = np.asarray([(-length, -width), (length, -width), (length, width), (-length, width)]) / 2
            turn = number(part.findtext("orientation", "0"), "orientation of the shape", whose)
            ring = ring @ np.asarray([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        ring = ring + _centre(part, whose)
    return np.concatenate([ring, ring[:1]])


def _extent(part: ET.Element, whose: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest corner of a part of a shape."""
    if part.tag == "circle":
        radius, centre = positive(part.findtext("radius"), "radius", whose), np.asarray(_centre(part, whose))
        return centre - radius, centre + radius
    ring = outline(part, whose)
    return ring.min(axis=0), ring.max(axis=0)


def _box(polygon: ET.Element, whose: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ring = points(polygon, "point", whose)
    if not len(ring):
        raise DataError(f"{whose}: its region has no points", "repair the file")
    return ring.min(axis=0), ring.max(axis=0)


def _centre(part: ET.Element, whose: str) -> tuple[float, float]:
    """Where a shape's centre is; (0, 0) where it does not say."""
    centre = part.find("center")
    if centre is None:
        return 0.0, 0.0
    return number(centre.findtext("x"), "x of center", whose), number(centre.findtext("y"), "y of center", whose)
