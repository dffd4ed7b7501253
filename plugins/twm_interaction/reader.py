"""The reader `interaction`: tracks of the INTERACTION dataset, from drones and traffic cameras, 10 Hz, metres.

v1.0 and v1.1 have a folder `recorded_trackfiles/<location>` with `vehicle_tracks_<n>.csv` and, where there are pedestrians,
`pedestrian_tracks_<n>.csv` of the same stretch of time; the two are read together. v1.2 has `<location>_train.csv`, `_val.csv` and
`_obs.csv`, each with many cases of a few seconds, which number their agents anew: each case is a scenario and a group of its own, and where
the file says which tracks are to be predicted, only those are scored. Maps are `maps/<location>.osm`.

    track_id, frame_id, timestamp_ms, agent_type, x, y, vx, vy, psi_rad, length, width [, track_to_predict, interesting_agent]

The step is `timestamp_ms` / 100. Pedestrians and cyclists are one type there (`pedestrian/bicycle`, read as pedestrian), without
heading and size. The publisher smoothed the tracks forwards and backwards in time (Kalman filter and Rauch-Tung-Striebel smoother), so
that the positions know a little and the velocities more of the future; velocities are therefore derived from the positions unless
`velocity = "file"`.

Format: https://interaction-dataset.com/details-and-format, https://github.com/interaction-dataset/interaction-dataset
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data.importing.files import find_above, find_files
from twm_core.data.importing.pieces import RowsPiece, pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tables import Chunk, ColumnType, read_table
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.data.scenario import RoadMap
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_interaction.config import InteractionConfig
from twm_interaction.example import write_example
from twm_interaction.lanelet2 import read_osm
from twm_interaction.road_map import make_road_map

DT = 0.1
"""Seconds between two steps."""

LONGEST_GAP = 5.0
"""Seconds that an agent may be away and still be the same track."""

COLUMNS: dict[str, ColumnType] = {
    "case_id": "int",
    "track_id": "str",
    "timestamp_ms": "float",
    "agent_type": "str",
    "x": "float",
    "y": "float",
    "vx": "float",
    "vy": "float",
    "psi_rad": "float",
    "length": "float",
    "width": "float",
    "track_to_predict": "float",
}
"""What is read of a file."""

NEEDED = ("track_id", "timestamp_ms", "agent_type", "x", "y")
"""Columns that every file has, with a value in every row."""

TYPES = {
    "car": "car",
    "van": "car",
    "truck": "truck",
    "bus": "bus",
    "motorcycle": "motorcycle",
    "bicycle": "bicycle",
    "pedestrian/bicycle": "pedestrian",
    "pedestrian": "pedestrian",
    "person": "pedestrian",
}
"""Types of agents by `agent_type`; what stands in the files besides is counted and read as other."""

_TRACKS = re.compile(r"(?P<what>vehicle|pedestrian|person)_tracks_(?P<number>\d+)")
_CASES = re.compile(r"(?P<location>.+)_(?:train|val|obs)")
_VALUES = ("x", "y", "vx", "vy", "psi_rad", "length", "width", "track_to_predict")


def build(config: InteractionConfig) -> InteractionReader:
    """The reader."""
    return InteractionReader(config)


class InteractionReader(Reader):
    """Reads tracks and maps of the INTERACTION dataset."""

    credits = Credits(
        dataset="INTERACTION",
        licence="terms of interaction-dataset.com: non-commercial",
        citation="W. Zhan et al.: INTERACTION Dataset, arXiv 1910.03088, 2019",
    )

    def __init__(self, config: InteractionConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        what = "INTERACTION (vehicle_tracks_<n>.csv, <location>_train.csv, _val.csv or _obs.csv)"
        together: dict[str, list[Path]] = {}
        for name, path in find_files(paths, _accept, what=what):
            together.setdefault(_source_name(name, path), []).append(path)
        sources = []
        for name, files in together.items():
            road = self._map_of(files[0])
            sources.append(Source(name, (*sorted(files, reverse=True), *([] if road is None else [road]))))
        return sources

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        tables = [path for path in source.files if path.suffix == ".csv"]
        skipped: Counter[str] = Counter()
        road: RoadMap | None = None
        for path in source.files:
            if path.suffix != ".csv":
                road, left_out = make_road_map(read_osm(path, origin=(self.config.origin_lat, self.config.origin_lon)))
                skipped.update(left_out)
        if road is None:
            skipped["recordings without a map (maps/<location>.osm is not there)"] += 1
        file = " and ".join(path.name for path in tables)
        cases = not _TRACKS.fullmatch(tables[0].stem)
        memory = TrackMemory()
        chunks = (chunk for path in tables for chunk in self._rows(path, skipped))
        for piece in pieces(chunks, file=file, dt=DT, scenario_seconds=self.config.scenario_seconds):
            if piece.number == 0:
                memory = TrackMemory()
            yield self._recording(piece, source, file, f"{source.name}/{piece.group}" if cases else source.name, road, memory)
        yield Skipped({reason: n for reason, n in skipped.items() if n})

    def _recording(self, piece: RowsPiece, source: Source, file: str, group: str, road: RoadMap | None, memory: TrackMemory) -> Recording:
        columns = dict(piece.rows.columns)
        predict = columns.pop("track_to_predict")
        recording = make_recording(
            replace(piece.rows, columns=columns),
            file=file,
            longest_gap=round(LONGEST_GAP / DT),
            memory=memory,
            begin_step=piece.begin,
            id=piece.name(group),
            site=self.config.site or _location(source.files[0]),
            group=group,
            start=piece.begin * DT,
            dt=DT,
            road=road,
            provenance=self._provenance(),
        )
        if np.isnan(predict).all():
            return recording
        wanted = set(piece.rows.track[predict == 1].tolist())
        return replace(recording, scored=np.asarray([name.split("#")[0] in wanted for name in recording.track], dtype=bool))

    def _rows(self, path: Path, skipped: Counter[str]) -> Iterator[tuple[NDArray[Any] | int, Rows]]:
        walking = (match := _TRACKS.fullmatch(path.stem)) is not None and match["what"] != "vehicle"
        cases = match is None
        empty = True
        optional = [name for name in COLUMNS if name not in NEEDED and not (cases and name == "case_id")]
        complete = [*NEEDED, *(["case_id"] if cases else [])]
        for chunk in read_table(path, COLUMNS, optional=optional, complete=complete):
            empty = False
            columns = {name: chunk[name] if name in chunk else np.full(len(chunk), np.nan) for name in _VALUES}
            columns["heading"] = wrap(columns.pop("psi_rad"))
            for name in ("length", "width"):
                columns[name] = np.where(columns[name] > 0, columns[name], np.nan)
            if self.config.velocity == "derived":
                del columns["vx"], columns["vy"]
            rows = Rows(
                track=_names(chunk["track_id"], walking),
                step=_steps(chunk, path),
                columns=columns,
                type=_types(chunk["agent_type"], skipped),
                line=chunk.line,
            )
            yield chunk["case_id"] if cases else 0, rows
        if empty:
            raise DataError(f"{path.name} holds no rows", "leave the file out")

    def _map_of(self, path: Path) -> Path | None:
        """The map of the location of a file of tracks, where it is there."""
        folder = self.config.maps or find_above(path, "maps")
        if self.config.maps and not self.config.maps.is_dir():
            raise DataError(f"{self.config.maps} is not a folder", "set maps to the folder that holds <location>.osm")
        if folder is None:
            return None
        found = [folder / f"{_location(path)}{ending}" for ending in (".osm", ".osm_xy")]
        return next((place for place in found if place.is_file()), None)

    def _provenance(self) -> dict[str, str]:
        smooth = "smoothed by the publisher over the whole track (Kalman filter and Rauch-Tung-Striebel smoother), not causal"
        names = ("x", "y", "vx", "vy") if self.config.velocity == "file" else ("x", "y")
        return dict.fromkeys(names, smooth)

    def example(self, folder: Path) -> list[Path]:
        write_example(folder)
        return [folder]


def _accept(path: Path) -> bool:
    return path.suffix == ".csv" and bool(_TRACKS.fullmatch(path.stem) or _CASES.fullmatch(path.stem))


def _location(path: Path) -> str:
    """Name of the place of a file of tracks: its folder's name, or the beginning of its own."""
    if _TRACKS.fullmatch(path.stem):
        return path.resolve().parent.name
    match = _CASES.fullmatch(path.stem)
    return match["location"] if match else path.stem


def _source_name(name: str, path: Path) -> str:
    """Vehicles and pedestrians of one stretch of time get one name."""
    match = _TRACKS.fullmatch(path.stem)
    if match is None:
        return name
    return f"{name.rpartition('/')[0] or _location(path)}/{match['number']}"


def _names(track: NDArray[Any], walking: bool) -> NDArray[Any]:
    """Names of tracks: `3` for `3.0` too; those of files of pedestrians begin with P, so that they are none of a vehicle."""
    unique, inverse = np.unique(track, return_inverse=True)
    names = [name.removesuffix(".0") for name in unique.tolist()]
    if walking:
        names = [name if name.startswith("P") else f"P{name}" for name in names]
    return np.asarray(names, dtype=np.str_)[inverse]


def _steps(chunk: Chunk, path: Path) -> NDArray[np.int64]:
    time = chunk["timestamp_ms"] / (1000 * DT)
    step = np.rint(time)
    off = np.flatnonzero((np.abs(time - step) > 0.1) | (np.abs(step) > 2**53))
    if len(off):
        row = int(off[0])
        raise DataError(
            f"{path.name}, row {chunk.line[row]}: timestamp_ms is {chunk['timestamp_ms'][row]:g}, no multiple of {1000 * DT:g}",
            "tracks of INTERACTION are sampled at 10 Hz",
        )
    return step.astype(np.int64)


def _types(words: NDArray[Any], skipped: Counter[str]) -> NDArray[np.int64]:
    unique, inverse = np.unique(words, return_inverse=True)
    for i, word in enumerate(unique.tolist()):
        if word not in TYPES:
            skipped[f"rows with agent_type {word!r}, read as other"] += int((inverse == i).sum())
    return np.asarray([AGENT_TYPES.index(TYPES.get(word, "other")) for word in unique.tolist()], dtype=np.int64)[inverse]
