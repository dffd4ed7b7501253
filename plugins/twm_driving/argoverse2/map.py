"""Vector maps of Argoverse 2 (`log_map_archive_*.json`), the same format in the forecasting and the sensor dataset.

`lane_segments` have left and right boundaries in driving direction, successors and one neighbour to each side (which may lead the other
way: such neighbours are left out); `drivable_areas` are outlines; `pedestrian_crossings` have two edges that run in parallel. Heights are
left out. Lane centres are computed from the boundaries. Format: the av2-api package, `av2.map`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from twm_core.data.scenario import RoadMap
from twm_core.errors import DataError
from twm_driving.json_file import entry, read_json
from twm_driving.roads import LaneDraft, RoadDraft, xy_points
from twm_driving.values import brief


def read_map(path: Path, counts: Counter[str]) -> RoadMap | None:
    """The road map of one archive.

    Raises:
        DataError: The file is damaged; the message names file and element.
    """
    found = read_json(path)
    draft = RoadDraft(counts)
    for key, lane in entry(found, "lane_segments", dict, path.name).items():
        draft.lanes.append(_lane(lane, f"{path.name}, lane segment {key}"))
    for key, area in entry(found, "drivable_areas", dict, path.name).items():
        where = f"{path.name}, drivable area {key}"
        draft.add_line("edge", xy_points(entry(area, "area_boundary", list, where), where), ring=True)
    # Some archives have no crossings; the official reader allows that too.
    for key, crossing in found.get("pedestrian_crossings", {}).items() if isinstance(found.get("pedestrian_crossings"), dict) else ():
        where = f"{path.name}, pedestrian crossing {key}"
        edges = [xy_points(entry(crossing, edge, list, where), where) for edge in ("edge1", "edge2")]
        draft.add_line("crosswalk", np.concatenate([edges[0], edges[1][::-1]]), ring=True)
    return draft.finish(0.0, path.name)


def _lane(lane: Any, where: str) -> LaneDraft:
    def numbers(key: str) -> list[str]:
        return [_name(v, key, where) for v in entry(lane, key, list, where)]

    def beside(key: str) -> list[str]:
        return [] if lane.get(key) is None else [_name(lane[key], key, where)]

    return LaneDraft(
        id=_name(lane.get("id") if isinstance(lane, dict) else None, "id", where),
        left_boundary=xy_points(entry(lane, "left_lane_boundary", list, where), f"{where}, left boundary"),
        right_boundary=xy_points(entry(lane, "right_lane_boundary", list, where), f"{where}, right boundary"),
        successors=numbers("successors"),
        left=beside("left_neighbor_id"),
        right=beside("right_neighbor_id"),
    )


def _name(value: Any, key: str, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"{where}: {key} holds {brief(value)}, not the number of a lane", "repair the map")
    return brief(value)
