"""Reader `scenarionet`: scenario pickles of ScenarioNet and MetaDrive, whatever dataset they were made from.

A file holds one scenario as a dict: `tracks` (by id: `type` and `state` with arrays over all `length` steps: position, heading, velocity,
length, width, height, valid), `map_features` (by id: lanes with centre line, sometimes outline and graph; road lines; outlines),
`dynamic_map_states` (traffic lights by lane) and `metadata`. `dataset_summary.pkl` and `dataset_mapping.pkl` beside them are indexes
and not read. Pickles are read without executing anything (module `plain_pickle`). Format: MetaDrive,
`metadrive.scenario.scenario_description`, and the converters of ScenarioNet.

What the converters do to the data, and what is done about it here, stands in the README (interpolated steps, forward differences,
invented speed limits, a vehicle whose length and width are exchanged).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.files import find_files
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.recording import Recording
from twm_core.data.scenario import INTERPOLATED, OBSERVED
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.config import ScenarioNetConfig
from twm_driving.interpolation import NUSCENES_EVERY, bends, every, interpolated
from twm_driving.scenarionet.example import write_scenario
from twm_driving.scenarionet.map import read_lights, read_road
from twm_driving.scenarionet.plain_pickle import load
from twm_driving.scenarionet.values import array, key, mapping, texts
from twm_driving.scenes import MOST_STEPS, Grid, Scene, check_size, recordings
from twm_driving.timing import NOMINAL, step_seconds
from twm_driving.values import Floats, brief

CREDITS = Credits(
    dataset="ScenarioNet",
    licence="that of the dataset it was made from (nuScenes: CC BY-NC-SA 4.0 and the nuScenes terms; Waymo: Waymo Dataset License; ...)",
    citation="Li et al.: ScenarioNet: Open-Source Platform for Large-Scale Traffic Scenario Simulation and Modeling. NeurIPS 2023;"
    " and the dataset it was made from.",
)

LARGEST_FILE = 1 << 28
"""Bytes of the largest pickle that is read; those of ScenarioNet have 0.5 to 30 MB."""

INDEXES = ("dataset_summary.pkl", "dataset_mapping.pkl")
COORDINATES = ("right-handed", "waymo", "metadrive")
"""Coordinate systems that `metadata` names; all of them are right-handed (MetaDrive since 0.3)."""

TYPES = {"VEHICLE": "car", "PEDESTRIAN": "pedestrian", "CYCLIST": "bicycle", "OTHER": "other", "UNSET": "unknown"}
STATIC = ("TRAFFIC_BARRIER", "TRAFFIC_CONE", "TRAFFIC_OBJECT")
"""Types that never move."""

FINE_TYPES = (
    ("truck", "truck"),
    ("construction", "truck"),
    ("bus", "bus"),
    ("motorcycle", "motorcycle"),
    ("trailer", "other"),
    ("animal", "other"),
)
"""What the type of the original dataset (`vehicle.bus.rigid`) must contain to be something finer than `VEHICLE`, in order."""

NUSCENES_CENTRE = 1.4
"""Metres from the pose of nuScenes' vehicle, the middle of its rear axle, forward to the centre of its box. A Renault Zoe is 4.08 m long,
with a wheelbase of 2.59 m; an estimate of a decimetre."""

NUSCENES_SCENE = re.compile(r"scene-\d{4}")
"""The name of a scene of nuScenes: 20 s of driving, of which converters make one file or several that overlap."""

NUSCENES_VELOCITY = "forward differences of interpolated positions by the publisher: not causal"


class ScenarioNetReader(Reader):
    """Reads scenario pickles."""

    credits = CREDITS

    def __init__(self, config: ScenarioNetConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        found = find_files(paths, lambda path: path.suffix == ".pkl" and path.name not in INDEXES, what="ScenarioNet (.pkl)")
        return [Source(name, (path,)) for name, path in found]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        path = source.files[0]
        file = path.name
        counts: Counter[str] = Counter()
        scenario = mapping(_load(path), file, "the pickle")
        metadata = mapping(scenario.get("metadata"), file, "metadata")
        tracks = mapping(scenario.get("tracks"), file, "tracks")
        dataset = brief(metadata.get("dataset", "")).lower()
        steps = scenario.get("length", metadata.get("track_length"))
        if type(steps) is not int or not 1 <= steps <= MOST_STEPS:
            raise DataError(f"{file}: length is {brief(steps)}, not a number of steps from 1 to {MOST_STEPS}", "convert the scenario again")
        if metadata.get("coordinate", COORDINATES[0]) not in COORDINATES:
            raise DataError(
                f"{file}: the coordinate system {brief(metadata['coordinate'])!r} is not known", f"known are {', '.join(COORDINATES)}"
            )
        check_size(file, len(tracks), steps)
        ego = None if metadata.get("sdc_id") is None else key(metadata["sdc_id"], file, "sdc_id")
        grid, anchors = self._grid(tracks, steps, dataset, ego, file, counts)
        scene = Scene(
            id=source.name,
            file=file,
            site=self.config.site or _site(metadata, grid, ego, source.name),
            dt=_dt(metadata, steps, file),
            steps=steps,
            ego=ego,
            scored=_scored(metadata, file),
            road=read_road(mapping(scenario.get("map_features"), file, "map_features"), dataset, self.config.lane_width, file, counts),
            lights=read_lights(mapping(scenario.get("dynamic_map_states") or {}, file, "dynamic_map_states"), steps, file, counts),
            anchors=anchors,
            provenance=_provenance(dataset),
            group=_group(metadata, dataset, source.name),
        )
        yield from recordings(grid.rows(counts), scene, self.config.scenario_seconds, counts)

    def _grid(
        self, tracks: dict[Any, Any], steps: int, dataset: str, ego: str | None, file: str, counts: Counter[str]
    ) -> tuple[Grid, NDArray[np.bool_] | None]:
        """The tracks, and the steps at which nothing is interpolated."""
        names: list[str] = []
        types: list[int] = []
        columns: dict[str, list[Floats]] = {n: [] for n in ("x", "y", "heading", "vx", "vy", "length", "width", "height")}
        valid: list[NDArray[np.bool_]] = []
        for identity, track in tracks.items():
            name = key(identity, file, "a track's id")
            where = f"{file}: track {name}"
            kind = mapping(track, where, "it").get("type")
            if kind in STATIC and not self.config.static:
                counts["tracks of things that never move"] += 1
                continue
            state = mapping(track.get("state"), where, "state")
            position = array(state.get("position"), where, "position", steps, (2, 3))
            velocity = array(state.get("velocity"), where, "velocity", steps, (2, 3), optional=True)
            names.append(name)
            types.append(_type(kind, track.get("metadata")))
            valid.append(array(state.get("valid"), where, "valid", steps, (1,))[:, 0] > 0.5)
            for column, values in (("x", position[:, 0]), ("y", position[:, 1]), ("vx", velocity[:, 0]), ("vy", velocity[:, 1])):
                columns[column].append(values)
            columns["heading"].append(array(state.get("heading"), where, "heading", steps, (1,))[:, 0])
            for size in ("length", "width", "height"):
                columns[size].append(array(state.get(size), where, size, steps, (1,), optional=True)[:, 0])
            if dataset == "nuscenes" and name == ego:
                _correct_ego(columns)
        if not names:
            raise DataError(f"{file}: holds no track", "leave the file out")
        grids = {name: np.stack(values) for name, values in columns.items()}
        mask = np.stack(valid)
        anchors, code = _interpolated(grids["x"], grids["y"], mask, np.array([n == ego for n in names]), dataset)
        return Grid(file=file, names=tuple(names), type=np.array(types, dtype=np.int64), valid=mask, columns=grids, code=code), anchors

    def example(self, folder: Path) -> list[Path]:
        return write_scenario(folder)


def _correct_ego(columns: dict[str, list[Floats]]) -> None:
    """Put right what the converter does to the recording vehicle of nuScenes, which is the last of each column."""
    length, width, heading = (columns[name][-1] for name in ("length", "width", "heading"))
    if (length < width).any():
        # It gives the vehicle as (4.08, 1.73) and takes the first for the width, which is how nuScenes orders the sizes of others.
        columns["length"][-1], columns["width"][-1] = width, length
    with np.errstate(invalid="ignore"):  # impossible headings are refused later
        columns["x"][-1] = columns["x"][-1] + NUSCENES_CENTRE * np.cos(heading)
        columns["y"][-1] = columns["y"][-1] + NUSCENES_CENTRE * np.sin(heading)


def _load(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise DataError(f"{path.name}: has {size} bytes", f"pickles of more than {LARGEST_FILE} bytes are not read")
        return load(path.read_bytes(), path.name)
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read ({error.strerror})", "check the path and its permissions") from error


def _interpolated(
    x: Floats, y: Floats, valid: NDArray[np.bool_], is_ego: NDArray[np.bool_], dataset: str
) -> tuple[NDArray[np.bool_] | None, NDArray[np.uint8] | None]:
    """The steps at which nothing is interpolated, and codes; None twice where everything was observed."""
    inside = np.where(valid, x, 0.0), np.where(valid, y, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # impossible values are refused later, with their track and step
        bent = bends(*inside, valid)
    # The vehicle's own pose can come from its bus at the full rate, so it does not decide.
    step = every(bent[~is_ego], NUSCENES_EVERY if dataset == "nuscenes" else None)
    if step == 1:
        return None, None
    between = interpolated(valid, bent, step)
    code = np.where(between, INTERPOLATED, OBSERVED).astype(np.uint8)
    return np.arange(x.shape[1]) % step == 0, code


def _type(kind: Any, metadata: Any) -> int:
    fine = brief(metadata.get("type", "")).lower() if isinstance(metadata, dict) else ""
    name = TYPES.get(brief(kind), "other")
    if kind in ("VEHICLE", "CYCLIST"):
        name = next((ours for part, ours in FINE_TYPES if part in fine), name)
    return AGENT_TYPES.index(name)


def _dt(metadata: dict[Any, Any], steps: int, file: str) -> float:
    """Seconds between steps, from `ts`, or `sample_rate` (which holds seconds), or 0.1."""
    if metadata.get("ts") is not None:
        return step_seconds(array(metadata["ts"], file, "ts", steps, (1,))[:, 0], "ts", file)
    dt = metadata.get("sample_rate", NOMINAL)
    if not isinstance(dt, float) or not 1e-3 <= dt <= 60:
        raise DataError(f"{file}: sample_rate is {brief(dt)}, not the seconds of a step", "repair sample_rate")
    return dt


def _site(metadata: dict[Any, Any], grid: Grid, ego: str | None, name: str) -> str:
    """The map that the file names; with the scenario's name where coordinates are counted from the vehicle's first position."""
    place = brief(metadata.get("map", ""))
    if not place or not isinstance(metadata["map"], str):
        return name
    if ego in grid.names:
        at = grid.names.index(ego)
        first = np.flatnonzero(grid.valid[at])[:1]
        if len(first) and np.hypot(grid.columns["x"][at, first[0]], grid.columns["y"][at, first[0]]) < NUSCENES_CENTRE + 0.01:
            return f"{place}/{name}"
    return place


def _group(metadata: dict[Any, Any], dataset: str, name: str) -> str:
    """The scene of nuScenes that the file is a piece of (its files share the tokens that name tracks); else the file."""
    if dataset == "nuscenes":
        named = [brief(metadata.get(n, "")) for n in ("scenario_id", "id")]
        found = next((m for m in map(NUSCENES_SCENE.search, (*named, name)) if m), None)
        if found:
            return f"nuscenes {found.group()}"
    return name


def _scored(metadata: dict[Any, Any], file: str) -> frozenset[str] | None:
    """Tracks to predict (Waymo), or None where the file names none."""
    wanted = metadata.get("tracks_to_predict")
    if wanted is None or not len(texts(wanted, file, "tracks_to_predict")):
        return None
    return frozenset(texts(wanted, file, "tracks_to_predict"))


def _provenance(dataset: str) -> dict[str, str]:
    if dataset == "nuscenes":
        return {
            **dict.fromkeys(("vx", "vy"), NUSCENES_VELOCITY),
            "heading": "annotated at 2 Hz, interpolated by the publisher",
            **dict.fromkeys(
                ("x", "y"), "annotated at 2 Hz, interpolated by the publisher; ego: pose of the rear axle, moved to the centre"
            ),
        }
    return dict.fromkeys(("heading", "vx", "vy"), "published labels")


def build(config: ScenarioNetConfig) -> ScenarioNetReader:
    """The reader."""
    return ScenarioNetReader(config)
