"""Centre lines and boundaries of NGSIM roads, as text in state-plane feet, to a road map in metres.

The files are those of NGSIM.jl (sisl, MIT licence), made from the CAD drawings of NGSIM: the word `CENTERLINES` (or `BOUNDARIES`) and
how many there are; for each the word `CENTERLINE` and its name on the next line (`BOUNDARY` and its number on the same), how many points
it has, and the points. Centre lines become lanes of the usual 12 feet; boundaries become lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import Lane, RoadLine, RoadMap
from twm_core.errors import DataError

FOOT = 0.3048
LANE_WIDTH = 12 * FOOT


def road_files(road: Path, site: str) -> tuple[Path, ...]:
    """The files of a road: the given one, or those in the folder whose numbers (101, 80) are those of the site.

    Raises:
        DataError: There is no such file or folder, or nothing for the site in it.
    """
    if road.is_file():
        return (road,)
    if not road.is_dir():
        raise DataError(f"road: {road} is not there", "give a file of centre lines or boundaries, or their folder")
    digits = "".join(c for c in site if c.isdigit())
    found = tuple(sorted(p for p in road.glob("*.txt") if digits and "".join(c for c in p.stem if c.isdigit()) == digits))
    if not found:
        raise DataError(f"road: {road} has no centre lines or boundaries for {site!r}", "leave road empty, or give the files themselves")
    return found


def read_road(files: Sequence[Path]) -> RoadMap:
    """The road map in metres of the state plane.

    Raises:
        DataError: A file is malformed; the message names its row.
    """
    lanes: list[Lane] = []
    lines: list[RoadLine] = []
    for path in files:
        for name, points in _lines(path):
            if name is None:
                lines.append(RoadLine("line", points))
            else:
                lanes.append(_lane(name, points))
    return RoadMap(tuple(lanes), tuple(lines))


def _lane(name: str, centre: NDArray[np.float64]) -> Lane:
    along = np.gradient(centre, axis=0)
    left = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None] * LANE_WIDTH / 2
    return Lane(id=name, centre=centre, width=LANE_WIDTH, left_boundary=centre + left, right_boundary=centre - left)


def _lines(path: Path) -> list[tuple[str | None, NDArray[np.float64]]]:
    """Lines with their names, None for boundaries."""
    try:
        rows = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}", "give a text file of centre lines or boundaries") from error
    at = 0

    def take(what: str) -> list[str]:
        nonlocal at
        while at < len(rows) and not rows[at].strip():
            at += 1
        at += 1
        if at > len(rows):
            raise DataError(f"{path}, row {at}: the file ends where {what} should be", "get the file again")
        return rows[at - 1].split()

    def number(what: str) -> int:
        words = take(what)
        if len(words) != 1 or not words[0].isdigit():
            raise DataError(f"{path}, row {at}: {' '.join(words)[:40]!r} is not {what}", "repair the file")
        return int(words[0])

    if take("CENTERLINES or BOUNDARIES") not in (["CENTERLINES"], ["BOUNDARIES"]):
        raise DataError(f"{path}, row {at}: neither CENTERLINES nor BOUNDARIES", "give a file of centre lines or boundaries")
    found: list[tuple[str | None, NDArray[np.float64]]] = []
    for _ in range(number("the number of lines")):
        words = take("CENTERLINE or BOUNDARY")
        if words[:1] not in (["CENTERLINE"], ["BOUNDARY"]):
            raise DataError(f"{path}, row {at}: {' '.join(words)[:40]!r} is neither CENTERLINE nor BOUNDARY", "repair the file")
        name = " ".join(take("the name of the centre line")) if words[0] == "CENTERLINE" else None
        points = []
        for _ in range(number("the number of points")):
            words = take("a point")
            try:
                point = [float(word) for word in words]
            except ValueError:
                point = list[float]()
            if len(point) != 2 or not np.isfinite(point).all():
                raise DataError(f"{path}, row {at}: {' '.join(words)[:40]!r} is not a point", "repair the file")
            points.append(point)
        if len(points) < 2:
            raise DataError(f"{path}, row {at}: a line needs two points", "repair the file")
        found.append((name, np.asarray(points) * FOOT))
    return found
