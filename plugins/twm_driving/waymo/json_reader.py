"""Reader `waymo-json`: Waymo scenarios as JSON, one per file, as the preprocessing of Nocturne and GPUDrive writes them.

`objects` hold lists over all steps (position, velocity, heading, valid) and one size; `roads` are lines and outlines by type, lanes without
a graph; `tl_states` are traffic lights by lane, with the steps at which they were seen; `metadata` (GPUDrive) names the recording vehicle
and the tracks to predict by their index. Steps last 0.1 s, which the files do not say. States that are not valid hold -10000. Nocturne
writes headings in degrees, GPUDrive wrote degrees at first and radians later, and no field tells which: see `heading_unit`.
Format: https://github.com/Emerge-Lab/gpudrive, `data_utils/process_waymo_files.py`;
https://github.com/facebookresearch/nocturne, data structure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data.importing.files import find_files
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.recording import Recording
from twm_core.data.scenario import LIGHT_STATES, Lights, RoadMap
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.config import WaymoJsonConfig
from twm_driving.json_file import entry, read_json
from twm_driving.roads import LaneDraft, RoadDraft, xy_points
from twm_driving.scenes import Grid, Scene, check_size, recordings
from twm_driving.values import Floats, brief
from twm_driving.waymo.json_example import write_json

CREDITS = Credits(
    dataset="Waymo Open Motion Dataset, as JSON",
    licence="Waymo Dataset License Agreement for Non-Commercial Use",
    citation="Ettinger et al.: Large Scale Interactive Motion Forecasting for Autonomous Driving: The Waymo Open Motion Dataset. ICCV 2021;"
    " and Nocturne (Vinitsky et al., NeurIPS 2022) or GPUDrive (Kazemkhani et al., ICLR 2025).",
)

DT = 0.1
NOT_SEEN = -10000.0
"""Position of states that are not valid."""

TYPES = {"vehicle": "car", "pedestrian": "pedestrian", "cyclist": "bicycle", "other": "other", "unset": "unknown"}
LINES = {"road_line": "line", "road_edge": "edge"}
AREAS = {"crosswalk": "crosswalk", "speed_bump": "area", "driveway": "area"}
LIGHTS = {"stop": "red", "caution": "yellow", "go": "green", "unknown": "unknown"}
"""By the last word of a state: `arrow_stop`, `flashing_caution`, `go`."""

MOVING = 2.0
"""m/s above which a vehicle's heading should agree with its motion."""


class WaymoJsonReader(Reader):
    """Reads JSON scenarios."""

    credits = CREDITS

    def __init__(self, config: WaymoJsonConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        # Nocturne keeps lists of its files beside them.
        def accept(path: Path) -> bool:
            return path.suffix == ".json" and not path.name.startswith("valid_files")

        return [Source(name, (path,)) for name, path in find_files(paths, accept, what="Waymo scenarios as JSON (.json)")]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        path = source.files[0]
        file = path.name
        counts: Counter[str] = Counter()
        scenario = read_json(path)
        objects = entry(scenario, "objects", list, file)
        steps = len(entry(objects[0] if objects else None, "valid", list, f"{file}, object 0"))
        check_size(file, len(objects), steps)
        grid = self._grid(objects, steps, file, counts)
        ego, scored = _marked(scenario.get("metadata"), objects, grid.names, file, counts)
        name = scenario.get("scenario_id")
        scene = Scene(
            id=source.name,
            file=file,
            # Coordinates of two scenarios need not have the same origin.
            site=self.config.site or (brief(name) if isinstance(name, str) and name else source.name),
            dt=DT,
            steps=steps,
            ego=ego,
            scored=scored,
            road=_road(entry(scenario, "roads", list, file), self.config.lane_width, file, counts),
            lights=_lights(scenario.get("tl_states"), steps, file),
            provenance=dict.fromkeys(("heading", "vx", "vy"), "published labels"),
        )
        yield from recordings(grid.rows(counts), scene, self.config.scenario_seconds, counts)

    def _grid(self, objects: list[Any], steps: int, file: str, counts: Counter[str]) -> Grid:
        names: list[str] = []
        types: list[int] = []
        valid = np.zeros((len(objects), steps), dtype=bool)
        columns: dict[str, Floats] = {n: np.full((len(objects), steps), np.nan) for n in ("x", "y", "vx", "vy", "heading")}
        sizes: dict[str, Floats] = {n: np.full((len(objects), 1), np.nan) for n in ("length", "width", "height")}
        for i, thing in enumerate(objects):
            where = f"{file}, object {i}"
            kind = entry(thing, "type", str, where)
            names.append(brief(thing["id"]) if type(thing.get("id")) is int else str(i))
            types.append(AGENT_TYPES.index(TYPES.get(kind, "other")))
            flags = _series(thing, "valid", steps, where)
            if not all(isinstance(v, bool) or v in (0, 1) for v in flags):
                raise DataError(f"{where}: valid holds something else than true and false", "repair the file")
            valid[i] = np.array(flags, dtype=bool)
            position = xy_points(_series(thing, "position", steps, where), f"{where}, position")
            velocity = xy_points(_series(thing, "velocity", steps, where), f"{where}, velocity")
            columns["x"][i], columns["y"][i] = position.T
            columns["vx"][i], columns["vy"][i] = velocity.T
            columns["heading"][i] = [_number(v, "heading", where) for v in _series(thing, "heading", steps, where)]
            for size, values in sizes.items():
                if thing.get(size) is not None:
                    values[i] = _number(thing[size], size, where)
        lost = valid & (columns["x"] == NOT_SEEN) & (columns["y"] == NOT_SEEN)
        counts["states called valid that hold no position"] += int(lost.sum())
        valid &= ~lost
        self._to_radians(columns, valid)
        return Grid(file=file, names=tuple(names), type=np.array(types, dtype=np.int64), valid=valid, columns={**columns, **sizes})

    def _to_radians(self, columns: dict[str, Floats], valid: NDArray[np.bool_]) -> None:
        unit = self.config.heading
        if unit == "auto":
            unit = heading_unit(columns["heading"][valid], columns["vx"][valid], columns["vy"][valid])
        if unit == "degrees":
            columns["heading"] = np.where(valid, np.deg2rad(columns["heading"]), np.nan)

    def example(self, folder: Path) -> list[Path]:
        return write_json(folder)


def heading_unit(heading: Floats, vx: Floats, vy: Floats) -> str:
    """`degrees` or `radians`, whichever headings `[R]` these are.

    Values beyond a full turn of radians are degrees. Otherwise the unit counts in which headings of moving agents agree better with the
    direction of their velocity; radians where nothing moves.
    """
    if (np.abs(heading) > 2 * np.pi + 0.01).any():
        return "degrees"
    moving = np.hypot(vx, vy) > MOVING
    if not moving.any():
        return "radians"
    direction = np.arctan2(vy[moving], vx[moving])
    errors = [np.abs(wrap(angle - direction)).mean() for angle in (heading[moving], np.deg2rad(heading[moving]))]
    return "radians" if errors[0] <= errors[1] else "degrees"


def _number(value: Any, what: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e12:
        raise DataError(f"{where}: {what} is {brief(value)}, not a number", "repair the file")
    return float(value)


def _series(thing: dict[str, Any], key: str, steps: int, where: str) -> list[Any]:
    values = entry(thing, key, list, where)
    if len(values) != steps:
        raise DataError(f"{where}: {key} has {len(values)} entries, the first object has {steps} steps", "export the file again")
    return values


def _marked(
    metadata: Any, objects: list[Any], names: tuple[str, ...], file: str, counts: Counter[str]
) -> tuple[str | None, frozenset[str] | None]:
    """Names of the recording vehicle and of the tracks to predict."""

    def named(index: Any, what: str) -> str | None:
        if type(index) is not int or index < 0:
            raise DataError(f"{file}: {what} is {brief(index)}, not the index of an object", "repair the file")
        if index >= len(names):
            # GPUDrive leaves vehicles out that are never valid, but keeps the indices.
            counts[f"entries of {what} beyond the objects of the file"] += 1
            return None
        return names[index]

    ego = next((n for n, o in zip(names, objects, strict=True) if o.get("is_sdc") in (True, 1)), None)
    if not isinstance(metadata, dict):
        return ego, None
    if ego is None and metadata.get("sdc_track_index") is not None:
        ego = named(metadata["sdc_track_index"], "sdc_track_index")
    wanted = metadata.get("tracks_to_predict")
    if not wanted:
        return ego, None
    if not isinstance(wanted, list):
        raise DataError(f"{file}: tracks_to_predict is no list", "repair the file")
    indices = [w.get("track_index") if isinstance(w, dict) else w for w in wanted]
    found = {named(i, "tracks_to_predict") for i in indices}
    return ego, frozenset(n for n in found if n is not None)


def _road(roads: list[Any], lane_width: float, file: str, counts: Counter[str]) -> RoadMap | None:
    draft = RoadDraft(counts)
    for i, road in enumerate(roads):
        where = f"{file}, road {i}"
        kind = entry(road, "type", str, where)
        if kind == "stop_sign":
            counts["stop signs, which are points"] += 1
            continue
        points = xy_points(entry(road, "geometry", list, where), where)
        if kind == "lane":
            identity = road.get("id")
            draft.lanes.append(LaneDraft(id=brief(identity) if type(identity) is int else f"road{i}", centre=points))
        elif kind in LINES:
            draft.add_line(LINES[kind], points)
        elif kind in AREAS:
            draft.add_line(AREAS[kind], points, ring=True)
        else:
            counts[f"roads of type {brief(kind)}"] += 1
    return draft.finish(lane_width, file)


def _lights(states: Any, steps: int, file: str) -> Lights | None:
    """Lights by lane; unknown at steps that `time_index` does not name."""
    if not states:
        return None
    if not isinstance(states, dict):
        raise DataError(f"{file}: tl_states is no object", "repair the file")
    check_size(f"{file}: traffic lights", len(states), steps)
    colours: NDArray[np.uint8] = np.zeros((len(states), steps), dtype=np.uint8)
    stops = np.full((len(states), 2), np.nan)
    for row, (lane, light) in enumerate(states.items()):
        where = f"{file}, light of lane {brief(lane)}"
        words = entry(light, "state", list, where)
        times = entry(light, "time_index", list, where)
        if len(words) != len(times):
            raise DataError(f"{where}: has {len(words)} states at {len(times)} steps", "repair the file")
        for word, step in zip(words, times, strict=True):
            if type(step) is not int or not 0 <= step < steps or not isinstance(word, str):
                raise DataError(f"{where}: shows {brief(word)} at step {brief(step)} of {steps}", "repair the file")
            colours[row, step] = LIGHT_STATES.index(LIGHTS.get(word.rpartition("_")[2], "unknown"))
        for axis, key in enumerate(("x", "y")):
            values = entry(light, key, list, where)
            if values:
                stops[row, axis] = _number(values[-1], key, where)
    return Lights(tuple(brief(lane) for lane in states), colours, stops)


def build(config: WaymoJsonConfig) -> WaymoJsonReader:
    """The reader."""
    return WaymoJsonReader(config)
