"""Road maps as flat arrays, for the map files of a store, and back.

The points of all lines stand one after another: centre, left boundary and right boundary of each lane (as many as `lane_points` says),
then the other lines. Ids and neighbours of lanes are one piece of JSON. Everything is float64, so that a map comes back as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import LINE_KINDS, Lane, RoadLine, RoadMap
from twm_core.data.store.manifest import MAP_COLUMNS
from twm_core.data.store.tensors import DTYPES, text_bytes, text_value

Points = NDArray[np.float64]


def road_arrays(road: RoadMap) -> dict[str, NDArray[Any]]:
    """The tensors `MAP_COLUMNS` of one road map."""
    lines: list[Points | None] = [p for lane in road.lanes for p in (lane.centre, lane.left_boundary, lane.right_boundary)]
    sizes = [-1 if p is None else len(p) for p in lines]
    points = [np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in (*lines, *(line.points for line in road.lines)) if p is not None]
    limits = [np.nan if lane.speed_limit is None else lane.speed_limit for lane in road.lanes]
    found: dict[str, NDArray[Any]] = {
        "points": np.concatenate([np.zeros((0, 2)), *points]),
        "lane_width": np.array([lane.width for lane in road.lanes], dtype=np.float64),
        "lane_speed_limit": np.array(limits, dtype=np.float64),
        "lane_points": np.array(sizes, dtype=np.int64).reshape(-1, 3),
        "line_points": np.array([len(line.points) for line in road.lines], dtype=np.int64),
        "line_kind": np.array([LINE_KINDS.index(line.kind) for line in road.lines], dtype=np.uint8),
        "text": text_bytes(
            {
                "ids": [lane.id for lane in road.lanes],
                "successors": [list(lane.successors) for lane in road.lanes],
                "left": [lane.left for lane in road.lanes],
                "right": [lane.right for lane in road.lanes],
            }
        ),
    }
    return {c.name: np.ascontiguousarray(found[c.name], dtype=DTYPES[c.dtype]) for c in MAP_COLUMNS}


def arrays_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """sha256 of the tensors of a road map, in the order of `MAP_COLUMNS`."""
    digest = hashlib.sha256()
    for column in MAP_COLUMNS:
        digest.update(f"{column.name} {len(arrays[column.name])}\n".encode())
        digest.update(np.ascontiguousarray(arrays[column.name]).tobytes())
    return digest.hexdigest()


def road_from(arrays: Mapping[str, NDArray[Any]], shift: tuple[float, float] = (0.0, 0.0)) -> RoadMap:
    """The road map of the tensors `MAP_COLUMNS`, with `shift` subtracted from all points."""
    points = arrays["points"] if shift == (0.0, 0.0) else arrays["points"] - np.array(shift)
    at = 0

    def take(count: int) -> Points | None:
        nonlocal at
        if count < 0:
            return None
        at += count
        return points[at - count : at]

    text = text_value(arrays["text"])
    lanes = []
    for i, counts in enumerate(arrays["lane_points"].tolist()):
        centre, left, right = (take(n) for n in counts)
        limit = float(arrays["lane_speed_limit"][i])
        lanes.append(
            Lane(
                id=text["ids"][i],
                centre=np.zeros((0, 2)) if centre is None else centre,
                width=float(arrays["lane_width"][i]),
                left_boundary=left,
                right_boundary=right,
                successors=tuple(text["successors"][i]),
                left=text["left"][i],
                right=text["right"][i],
                speed_limit=None if limit != limit else limit,
            )
        )
    lines = []
    for kind, count in zip(arrays["line_kind"].tolist(), arrays["line_points"].tolist(), strict=True):
        line = take(count)
        lines.append(RoadLine(LINE_KINDS[kind], np.zeros((0, 2)) if line is None else line))
    return RoadMap(tuple(lanes), tuple(lines))


def shifted(road: RoadMap, shift: tuple[float, float]) -> RoadMap:
    """The road map with `shift` subtracted from all points."""
    return road_from(road_arrays(road), shift)
