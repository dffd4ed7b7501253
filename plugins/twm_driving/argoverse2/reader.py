"""Reader `argoverse2`: scenarios of the Argoverse 2 motion forecasting dataset.

One folder per scenario: `scenario_<id>.parquet` (a row per track and step: position of the box centre, heading and velocity in the frame of
the city) and `log_map_archive_<id>.json`. 110 steps at 10 Hz, of which the last 60 are to be predicted; in the test split they are left
out, so those scenarios end after 50. Track `AV` is the recording vehicle. `object_category` is 0 for fragments, 1 for tracks that are not
scored, 2 for scored ones, 3 for the focal track: 2 and 3 are `scored`. Sizes and accelerations are not given. Format: av2-api,
`av2.datasets.motion_forecasting`.
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
from twm_core.data.importing.tracks import Rows
from twm_core.data.recording import Recording
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_driving.argoverse2.arrow_table import Kind, read_columns
from twm_driving.argoverse2.example import write_forecasting
from twm_driving.argoverse2.map import read_map
from twm_driving.config import Argoverse2Config
from twm_driving.scenes import MOST_STEPS, Scene, recordings
from twm_driving.values import checked

CREDITS = Credits(
    dataset="Argoverse 2",
    licence="CC BY-NC-SA 4.0",
    citation="Wilson et al.: Argoverse 2: Next Generation Datasets for Self-Driving Perception and Forecasting. NeurIPS Datasets and"
    " Benchmarks 2021.",
)

DT = 0.1
EGO = "AV"
SCORED, FOCAL = 2, 3
"""Values of `object_category` of tracks that the dataset's protocols score."""

TYPES = {
    "vehicle": "car",
    "pedestrian": "pedestrian",
    "motorcyclist": "motorcycle",
    "cyclist": "bicycle",
    "bus": "bus",
    "static": "other",
    "background": "other",
    "construction": "other",
    "riderless_bicycle": "other",
    "unknown": "unknown",
}
STATIC = ("static", "background", "construction", "riderless_bicycle")
"""Object types that never move."""

COLUMNS: dict[str, Kind] = {
    "track_id": "text",
    "object_type": "text",
    "object_category": "int",
    "timestep": "int",
    "position_x": "float",
    "position_y": "float",
    "heading": "float",
    "velocity_x": "float",
    "velocity_y": "float",
    "scenario_id": "text",
    "start_timestamp": "float",
    "end_timestamp": "float",
    "num_timestamps": "int",
    "city": "text",
}
_RECORDED = {"x": "position_x", "y": "position_y", "heading": "heading", "vx": "velocity_x", "vy": "velocity_y"}


class Argoverse2Reader(Reader):
    """Reads the scenarios of the config's split or folder."""

    credits = CREDITS

    def __init__(self, config: Argoverse2Config) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        def place(main: Path) -> Path:
            short = main.stem.removeprefix("scenario_")
            return main.parent if main.parent.name == short else main.with_name(short)

        def accept(path: Path) -> bool:
            return path.suffix == ".parquet" and path.name.startswith("scenario_")

        found = find_files(paths, accept, what="Argoverse 2 scenarios (scenario_<id>.parquet)", named=place)
        return [Source(name, (path, *(m for m in [_map_of(path)] if m.exists()))) for name, path in found]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        path = source.files[0]
        counts: Counter[str] = Counter()
        table = read_columns(path, COLUMNS)
        rows, steps = self._rows(table, path.name, counts)
        category = table["object_category"]
        city = _same(table["city"], "city", path.name)
        scene = Scene(
            id=source.name,
            file=path.name,
            site=self.config.site or city,
            dt=DT,
            steps=steps,
            ego=EGO,
            scored=frozenset(table["track_id"][(category == SCORED) | (category == FOCAL)].tolist()),
            road=read_map(source.files[1], counts) if len(source.files) > 1 else None,
            provenance=dict.fromkeys(("heading", "vx", "vy"), "published labels"),
        )
        if len(source.files) < 2:
            counts["maps that are not there"] += 1
        yield from recordings(rows, scene, self.config.scenario_seconds, counts)

    def _rows(self, table: dict[str, NDArray[Any]], file: str, counts: Counter[str]) -> tuple[Rows, int]:
        _check_timing(table, file)
        step, kinds = table["timestep"], table["object_type"]
        wrong = (step < 0) | (step >= min(int(table["num_timestamps"][0]), MOST_STEPS))
        _refuse(wrong, step, "timestep", file)
        _refuse(~np.isin(kinds.astype(str), list(TYPES)), kinds, "object_type", file)
        _refuse((table["object_category"] < 0) | (table["object_category"] > FOCAL), table["object_category"], "object_category", file)
        keep = np.ones(len(step), dtype=bool)
        if not self.config.static:
            keep = ~np.isin(kinds.astype(str), STATIC)
            counts["rows of things that never move"] += int((~keep).sum())
        line = np.flatnonzero(keep) + 1
        columns = {ours: table[theirs][keep] for ours, theirs in _RECORDED.items()}
        rows = Rows(
            track=table["track_id"][keep],
            step=step[keep],
            columns=checked(columns, lambda r: f"{file}, row {line[r]}", counts),
            type=np.array([AGENT_TYPES.index(TYPES[k]) for k in kinds[keep]], dtype=np.int64),
            line=line,
        )
        return rows, int(step.max()) + 1

    def example(self, folder: Path) -> list[Path]:
        return write_forecasting(folder)


def _map_of(path: Path) -> Path:
    return path.with_name(f"log_map_archive_{path.stem.removeprefix('scenario_')}.json")


def _refuse(wrong: NDArray[np.bool_], values: NDArray[Any], column: str, file: str) -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"{file}, row {row + 1}: {column} is {str(values[row])[:60]} ({int(wrong.sum())} such rows)", "repair the file")


def _same(values: NDArray[Any], column: str, file: str) -> str:
    """The one value of a column that is the same in all rows."""
    _refuse(values != values[0], values, column, file)
    return str(values[0])


def _check_timing(table: dict[str, NDArray[Any]], file: str) -> None:
    """That the scenario has the ten steps a second that the format promises."""
    for column in ("start_timestamp", "end_timestamp", "num_timestamps"):
        _refuse(table[column] != table[column][0], table[column], column, file)
    steps = int(table["num_timestamps"][0])
    seconds = float(table["end_timestamp"][0] - table["start_timestamp"][0]) * 1e-9
    if steps > 1 and not abs(seconds / (steps - 1) - DT) <= 0.05 * DT:
        raise DataError(f"{file}, row 1: {steps} steps in {seconds:g} s are not {DT:g} s each", "repair the timestamps")


def build(config: Argoverse2Config) -> Argoverse2Reader:
    """The reader."""
    return Argoverse2Reader(config)
