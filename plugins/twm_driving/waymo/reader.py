"""Reader `waymo`: scenarios of the Waymo Open Motion Dataset, TFRecord files of `Scenario` protos.

A scenario has 91 steps of 0.1 s (9.1 s; 20 s in other editions; 11 in the test split), tracks with a state for every step, of which those
marked valid count, the map around, and the states of traffic lights at every step. World frame, metres, right-handed; positions are box
centres. `tracks_to_predict` are `scored`, `sdc_track_index` is `ego`. Records are read one at a time. Vehicles of every kind are one type.
Format: https://github.com/waymo-research/waymo-open-dataset, `protos/scenario.proto` and `map.proto`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.files import find_files
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.recording import Recording
from twm_core.data.scenario import LIGHT_STATES, Lights
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.config import WaymoConfig
from twm_driving.scenes import Grid, Scene, check_size, recordings
from twm_driving.timing import step_seconds
from twm_driving.values import Floats
from twm_driving.waymo.example import write_tfrecord
from twm_driving.waymo.map import read_road
from twm_driving.waymo.proto import LIGHTS, OBJECT_TYPES, read_scenario
from twm_driving.waymo.tfrecord import read_records

CREDITS = Credits(
    dataset="Waymo Open Motion Dataset",
    licence="Waymo Dataset License Agreement for Non-Commercial Use",
    citation="Ettinger et al.: Large Scale Interactive Motion Forecasting for Autonomous Driving: The Waymo Open Motion Dataset."
    " ICCV 2021.",
)

PROVENANCE = dict.fromkeys(("heading", "vx", "vy"), "published labels")
_COLUMNS = {
    "x": "center_x",
    "y": "center_y",
    "heading": "heading",
    "vx": "velocity_x",
    "vy": "velocity_y",
    "length": "length",
    "width": "width",
    "height": "height",
}


class WaymoReader(Reader):
    """Reads TFRecord files of scenarios."""

    credits = CREDITS

    def __init__(self, config: WaymoConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        # Official names are like training.tfrecord-00000-of-01000 or uncompressed_scenario_training_training.tfrecord-...
        found = find_files(paths, lambda path: ".tfrecord" in path.name, what="Waymo (*.tfrecord*)", named=lambda path: path)
        return [Source(name, (path,)) for name, path in found]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        path = source.files[0]
        seen: Counter[str] = Counter()
        empty = True
        for number, (offset, data) in enumerate(read_records(path)):
            empty = False
            where = f"{path.name}, record {number}"
            scenario = read_scenario(data, f"{where}, byte {offset}")
            name = _text(scenario.scenario_id, where) or f"{number:06d}"
            seen[name] += 1
            identity = f"{source.name}/{name}" if seen[name] == 1 else f"{source.name}/{name}#{seen[name]}"
            yield from self._scenario(scenario, identity, name, f"{where} (scenario {name})")
        if empty:
            raise DataError(f"{path.name}: holds no record", "leave the file out")

    def _scenario(self, scenario: Any, identity: str, name: str, where: str) -> Iterator[Recording | Skipped]:
        counts: Counter[str] = Counter()
        steps = len(scenario.timestamps_seconds)
        check_size(where, len(scenario.tracks), steps)
        grid = _grid(scenario.tracks, steps, where)
        wanted = [required.track_index for required in scenario.tracks_to_predict]
        scene = Scene(
            id=identity,
            file=where,
            # The origin of the coordinates is arbitrary, so nothing says that two scenarios share one.
            site=self.config.site or name,
            dt=step_seconds(np.asarray(scenario.timestamps_seconds), "timestamps_seconds", where),
            steps=steps,
            ego=_track_name(grid, scenario.sdc_track_index, "sdc_track_index", where) if scenario.HasField("sdc_track_index") else None,
            scored=frozenset(_track_name(grid, i, "tracks_to_predict", where) for i in wanted) if wanted else None,
            road=read_road(scenario.map_features, self.config.lane_width, where, counts),
            lights=_lights(scenario.dynamic_map_states, steps, where),
            provenance=PROVENANCE,
        )
        yield from recordings(grid.rows(counts), scene, self.config.scenario_seconds, counts)

    def example(self, folder: Path) -> list[Path]:
        return write_tfrecord(folder)


def _grid(tracks: Sequence[Any], steps: int, where: str) -> Grid:
    if not tracks or not steps:
        raise DataError(f"{where}: has {len(tracks)} tracks and {steps} timestamps", "leave the record out")
    names = tuple(str(track.id) for track in tracks)
    valid = np.zeros((len(tracks), steps), dtype=bool)
    columns: dict[str, Floats] = {name: np.full(valid.shape, np.nan) for name in _COLUMNS}
    for i, track in enumerate(tracks):
        states = track.states
        if len(states) != steps:
            raise DataError(
                f"{where}: track {names[i]} has {len(states)} states at {steps} timestamps", "every track needs one per timestamp"
            )
        here = [t for t, state in enumerate(states) if state.valid]
        valid[i, here] = True
        for ours, theirs in _COLUMNS.items():
            # A field that is not set has the value 0; sizes of 0 become unknown.
            columns[ours][i, here] = [getattr(states[t], theirs) for t in here]
    return Grid(file=where, names=names, type=np.array([_type(t, where) for t in tracks], dtype=np.int64), valid=valid, columns=columns)


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: scenario_id is no UTF-8 text", "download the file again") from error


def _type(track: Any, where: str) -> int:
    number = track.object_type
    if not 0 <= number < len(OBJECT_TYPES):
        raise DataError(f"{where}: track {track.id} has the unknown object_type {number}", "update twm, or repair the record")
    return AGENT_TYPES.index(OBJECT_TYPES[number])


def _track_name(grid: Grid, index: int, field: str, where: str) -> str:
    if not 0 <= index < len(grid.names):
        raise DataError(f"{where}: {field} is {index}, but there are {len(grid.names)} tracks", "repair the record")
    return grid.names[index]


def _lights(states: Sequence[Any], steps: int, where: str) -> Lights | None:
    """States of all lights that are seen at some step; unknown at the others."""
    if len(states) > steps:
        raise DataError(f"{where}: has {len(states)} dynamic map states at {steps} timestamps", "repair the record")
    lanes: dict[int, int] = {}
    for state in states:
        for light in state.lane_states:
            lanes.setdefault(light.lane, len(lanes))
    check_size(f"{where}: traffic lights", len(lanes), steps)
    if not lanes:
        return None
    colours: NDArray[np.uint8] = np.zeros((len(lanes), steps), dtype=np.uint8)
    stops = np.full((len(lanes), 2), np.nan)
    for step, state in enumerate(states):
        for light in state.lane_states:
            number = light.state
            if not 0 <= number < len(LIGHTS):
                raise DataError(f"{where}: step {step}: a light has the unknown state {number}", "update twm, or repair the record")
            at = lanes[light.lane]
            colours[at, step] = LIGHT_STATES.index(LIGHTS[number])
            stop = light.stop_point
            point = np.array([getattr(stop, axis) if stop.HasField(axis) else np.nan for axis in ("x", "y")])
            if not (np.isnan(point) | (np.abs(point) <= 1e8)).all():
                raise DataError(f"{where}: step {step}: the stop point of a light is {point.tolist()}", "repair the record")
            stops[at] = point
    return Lights(tuple(str(lane) for lane in lanes), colours, stops)


def build(config: WaymoConfig) -> WaymoReader:
    """The reader."""
    return WaymoReader(config)
