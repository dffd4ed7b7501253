"""Road maps from the polylines of driving datasets: points checked, lanes made, references to lanes that are not there left out.

Lanes come with two boundaries (Argoverse), with the outline of their area (nuScenes), or as a centre line alone (Waymo). An outline is
split into left and right by the side of the centre line that its corners lie on. Of a centre line alone no boundaries are made up: they
stay None and the lane has the width of the reader's option.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twm_core.data.roads.lane_lines import LONGEST_LANE, centre_line, distinct_points, line_length
from twm_core.data.scenario import Lane, RoadLine, RoadMap
from twm_core.errors import DataError
from twm_driving.values import LARGEST, Floats


def check_points(points: Floats, where: str) -> Floats:
    """The points `[P, 2]` themselves.

    Raises:
        DataError: A coordinate is not finite or too large.
    """
    if points.size and not (np.abs(points) <= LARGEST["x"]).all():  # NaN compares false
        raise DataError(f"{where}: a coordinate is not a finite number of metres", "repair the map")
    return points


def xy_points(value: Any, where: str) -> Floats:
    """Points `[P, 2]` from a JSON list of `{"x": …, "y": …}` objects.

    Raises:
        DataError: It is something else, or a coordinate is not a finite number.
    """
    if not isinstance(value, list) or not all(isinstance(p, dict) for p in value):
        raise DataError(f"{where}: is not a list of points", 'points are objects with "x" and "y"')
    flat: list[float] = []
    for i, p in enumerate(value):
        for axis in ("x", "y"):
            number = p.get(axis)
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise DataError(f"{where}: point {i} has no number {axis}", "repair the map")
            if abs(number) > LARGEST["x"]:
                raise DataError(f"{where}: point {i} has the impossible {axis}", "repair the map")
            flat.append(number)
    return check_points(np.asarray(flat, dtype=np.float64).reshape(-1, 2), where)


def distinct(line: Floats) -> Floats:
    """The line, which may be empty, without points that repeat the one before."""
    return line if len(line) < 2 else distinct_points(line)


def closed(ring: Floats) -> Floats:
    """The outline with its first point again at the end."""
    return ring if not len(ring) or (ring[0] == ring[-1]).all() else np.concatenate([ring, ring[:1]])


def same_direction(a: Floats, b: Floats) -> bool:
    """Whether two lines lead, as a whole, in about the same direction."""
    return bool((a[-1] - a[0]) @ (b[-1] - b[0]) > 0)


@dataclass(kw_only=True)
class LaneDraft:
    """A lane as a file gives it; `left` and `right` are candidates in the order of preference."""

    id: str
    centre: Floats | None = None
    left_boundary: Floats | None = None
    right_boundary: Floats | None = None
    outline: Floats | None = None
    width: float | None = None
    successors: Sequence[str] = ()
    left: Sequence[str] = ()
    right: Sequence[str] = ()
    speed_limit: float | None = None


@dataclass
class RoadDraft:
    """Lanes and lines while a map is read; `counts` says what was left out."""

    counts: Counter[str]
    lanes: list[LaneDraft] = field(default_factory=list)
    lines: list[RoadLine] = field(default_factory=list)

    def add_line(self, kind: str, points: Floats, *, ring: bool = False) -> None:
        """Add a line, or the outline of an area."""
        points = distinct(points)
        if len(points) < 2:
            self.counts["map lines of fewer than two points"] += 1
            return
        self.lines.append(RoadLine(kind, closed(points) if ring else points))

    def finish(self, lane_width: float, file: str) -> RoadMap | None:
        """The road map, or None where there is nothing in it.

        Args:
            lane_width: Metres of width of lanes that give none.
            file: Name of the file, for messages.

        Raises:
            DataError: Two lanes have one id, or one is impossibly long.
        """
        made: dict[str, Lane] = {}
        drafts: dict[str, LaneDraft] = {}
        for draft in self.lanes:
            if draft.id in drafts:
                raise DataError(f"{file}: lane {draft.id} stands in it twice", "lane ids must be unique within a map")
            drafts[draft.id] = draft
            for line in (draft.centre, draft.left_boundary, draft.right_boundary, draft.outline):
                if line is not None and len(line) > 1 and line_length(line) > LONGEST_LANE:
                    raise DataError(f"{file}: lane {draft.id} is {line_length(line):.0f} m long", "repair the map")
            lane = _lane(draft, lane_width)
            if lane is None:
                self.counts["lanes of fewer than two points"] += 1
            else:
                made[draft.id] = lane
        linked = tuple(_linked(lane, drafts[name], made) for name, lane in made.items())
        return RoadMap(linked, tuple(self.lines)) if linked or self.lines else None


def _lane(draft: LaneDraft, lane_width: float) -> Lane | None:
    """The lane without its graph; None where it has no length."""
    left, right, centre, width = draft.left_boundary, draft.right_boundary, draft.centre, draft.width
    if left is not None and right is not None:
        left, right = distinct(left), distinct(right)
        if len(left) < 2 or len(right) < 2:
            return None
        middle, across = centre_line(left, right)
        return Lane(id=draft.id, centre=middle, width=across, left_boundary=left, right_boundary=right, speed_limit=draft.speed_limit)
    centre = distinct(centre) if centre is not None else np.zeros((0, 2))
    if len(centre) < 2:
        return None
    left = right = None
    if draft.outline is not None and (sides := split_outline(draft.outline, centre)) is not None:
        left, right = sides
        width = centre_line(left, right)[1]
    if width is None or not 0 < width <= 100:
        width = lane_width
    return Lane(id=draft.id, centre=centre, width=width, left_boundary=left, right_boundary=right, speed_limit=draft.speed_limit)


def _linked(lane: Lane, draft: LaneDraft, made: dict[str, Lane]) -> Lane:
    def beside(candidates: Iterable[str]) -> str | None:
        # Argoverse names the lane across a yellow line as a neighbour too: it leads the other way.
        return next((c for c in candidates if c in made and c != lane.id and same_direction(made[c].centre, lane.centre)), None)

    return Lane(
        id=lane.id,
        centre=lane.centre,
        width=lane.width,
        left_boundary=lane.left_boundary,
        right_boundary=lane.right_boundary,
        successors=tuple(dict.fromkeys(s for s in draft.successors if s in made)),
        left=beside(draft.left),
        right=beside(draft.right),
        speed_limit=lane.speed_limit,
    )


def split_outline(outline: Floats, centre: Floats) -> tuple[Floats, Floats] | None:
    """Left and right boundary of a lane from the outline of its area, both in driving direction.

    The corners to the left of the centre line must follow one another, and so must those to the right; otherwise None.
    """
    ring = distinct(outline)
    if len(ring) > 1 and np.hypot(*(ring[0] - ring[-1])) <= 1e-6:
        ring = ring[:-1]
    if len(ring) < 4 or len(ring) * len(centre) > 4_000_000:
        return None
    side = _side(ring, centre) > 0
    changes = np.flatnonzero(side != np.roll(side, 1))
    if len(changes) != 2:
        return None
    start = int(changes[0])
    ring, side = np.roll(ring, -start, axis=0), np.roll(side, -start)
    a, b = ring[side == side[0]], ring[side != side[0]]
    left, right = (a, b) if side[0] else (b, a)
    if len(left) < 2 or len(right) < 2:
        return None
    return _along(left, centre), _along(right, centre)


def _along(line: Floats, centre: Floats) -> Floats:
    """The line, turned round if it begins where the centre line ends."""
    ends = centre[[0, -1]]
    as_given = np.hypot(*(line[[0, -1]] - ends).T).sum()
    return line if as_given <= np.hypot(*(line[[-1, 0]] - ends).T).sum() else line[::-1]


def _side(points: Floats, line: Floats) -> Floats:
    """Signed distance of points `[R, 2]` from the nearest segment of the line, positive to the left; end segments go on beyond the ends."""
    start, step = line[:-1], np.diff(line, axis=0)
    size = np.hypot(*step.T)
    unit = step / size[:, None]
    relative = points[:, None, :] - start[None]
    low, high = np.zeros(len(size)), size.copy()
    low[0], high[-1] = -np.inf, np.inf
    along = np.clip((relative * unit).sum(axis=2), low, high)
    away = relative - along[..., None] * unit
    nearest = np.argmin((away**2).sum(axis=2), axis=1)
    rows = np.arange(len(points))
    return unit[nearest, 0] * relative[rows, nearest, 1] - unit[nearest, 1] * relative[rows, nearest, 0]
