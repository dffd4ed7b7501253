"""The lanes of a highD recording: straight, between the lane markings that `recordingMeta` lists.

The markings are given as y in metres downwards, `8.51;12.59;16.43`, per carriageway. `laneId` counts markings from the top, so the first
lane is 2. On the upper carriageway one drives towards smaller x, on the lower one towards larger x; here y goes up.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

from twm_core.data.importing.tables import Chunk
from twm_core.data.scenario import Lane, RoadMap
from twm_core.errors import DataError

SHORTEST = 420.0
"""Metres of road that a recording shows, about; longer where vehicles were seen farther on."""


def markings(path: Path, row: Chunk, column: str) -> tuple[float, ...]:
    """The markings in a column of the only row of `recordingMeta`.

    Raises:
        DataError: They are no numbers in growing order.
    """
    text = str(row[column][0])
    try:
        found = tuple(float(part) for part in text.split(";") if part.strip())
    except ValueError:
        found = (np.nan,)
    if not np.isfinite(found).all() or any(a >= b for a, b in pairwise(found)):
        raise DataError(f"{path}, row {row.line[0]}, column {column!r}: {text[:80]!r} are no growing numbers", "repair the file")
    return found


def highway_lanes(site: str, upper: tuple[float, ...], lower: tuple[float, ...], extent: float, speed_limit: float | None) -> RoadMap:
    """The road map.

    Args:
        site: What the ids of lanes begin with.
        upper: y of the markings of the upper carriageway, downwards.
        lower: Likewise, lower.
        extent: Largest x of a vehicle.
        speed_limit: m/s.
    """
    end = max(SHORTEST, float(np.ceil(extent / 10) * 10))
    along = np.linspace(0.0, end, int(end // 10) + 1)
    lanes = []
    for lines, west, counted in ((upper, True, 0), (lower, False, len(upper))):
        ids = [counted + i + 2 for i in range(len(lines) - 1)]
        for lane, top, bottom in zip(ids, lines, lines[1:], strict=False):
            x = along[::-1] if west else along
            left, right = (bottom, top) if west else (top, bottom)
            to_left, to_right = (lane + 1, lane - 1) if west else (lane - 1, lane + 1)
            lanes.append(
                Lane(
                    id=f"{site}:{lane}",
                    centre=np.stack([x, np.full(len(x), -(top + bottom) / 2)], axis=1),
                    width=bottom - top,
                    left_boundary=np.stack([x, np.full(len(x), -left)], axis=1),
                    right_boundary=np.stack([x, np.full(len(x), -right)], axis=1),
                    left=f"{site}:{to_left}" if to_left in ids else None,
                    right=f"{site}:{to_right}" if to_right in ids else None,
                    speed_limit=speed_limit,
                )
            )
    return RoadMap(tuple(lanes))
