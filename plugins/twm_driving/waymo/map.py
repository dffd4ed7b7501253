"""Road maps of the Waymo Open Motion Dataset from decoded `MapFeature` messages.

A lane is a centre line without a width; boundaries are separate lines that it refers to piecewise, which are kept as lines. Speed limits
come in miles per hour. A neighbour may stand beside a part of the lane only: the one beside the longest part counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from twm_core.data.scenario import RoadMap
from twm_driving.roads import LaneDraft, RoadDraft, check_points
from twm_driving.values import Floats

MPH = 0.44704
"""Metres per second in a mile per hour."""

LINES = {"road_line": "line", "road_edge": "edge"}
AREAS = {"crosswalk": "crosswalk", "speed_bump": "area", "driveway": "area"}


def read_road(features: Sequence[Any], lane_width: float, where: str, counts: Counter[str]) -> RoadMap | None:
    """The road map.

    Raises:
        DataError: A coordinate is not finite, or two lanes have one id.
    """
    draft = RoadDraft(counts)
    for feature in features:
        name = str(feature.id)
        here = f"{where}: map feature {name}"
        if feature.HasField("lane"):
            draft.lanes.append(_lane(name, feature.lane, here))
        for key, kind in LINES.items():
            if feature.HasField(key):
                draft.add_line(kind, _points(getattr(feature, key).polyline, here))
        for key, kind in AREAS.items():
            if feature.HasField(key):
                draft.add_line(kind, _points(getattr(feature, key).polygon, here), ring=True)
        if feature.HasField("stop_sign"):
            counts["stop signs, which are points"] += 1
        if not any(feature.HasField(key) for key in ("lane", "stop_sign", *LINES, *AREAS)):
            counts["map features of unknown kinds"] += 1
    return draft.finish(lane_width, where)


def _points(points: Sequence[Any], where: str) -> Floats:
    found = np.array([(p.x, p.y) for p in points], dtype=np.float64).reshape(-1, 2)
    return check_points(found, where)


def _lane(name: str, lane: Any, where: str) -> LaneDraft:
    limit = lane.speed_limit_mph
    return LaneDraft(
        id=name,
        centre=_points(lane.polyline, where),
        successors=[str(i) for i in lane.exit_lanes],
        left=_neighbours(lane.left_neighbors),
        right=_neighbours(lane.right_neighbors),
        speed_limit=limit * MPH if 0 < limit < 200 else None,
    )


def _neighbours(neighbours: Sequence[Any]) -> list[str]:
    def part(neighbour: Any) -> int:
        return int(neighbour.self_end_index - neighbour.self_start_index)

    return [str(n.feature_id) for n in sorted(neighbours, key=part, reverse=True)]
