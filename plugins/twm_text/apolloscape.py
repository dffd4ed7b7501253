"""The reader `apolloscape`: ApolloScape trajectory prediction, boxes of road users around a recording car, 2 Hz.

One line a box: `frame id type x y z length width height heading`, separated by blanks; metres; x and y in a world frame (of each file's
own origin). Types: 1 small vehicle, 2 big vehicle, 3 pedestrian, 4 motorcyclist or bicyclist (read as bicycle), 5 other. A file is
`result_<drive>_<index>_frame.txt`, about a minute, and counts its frames and numbers its agents from the beginning: files of one drive
share neither, so each is a group of its own, and the drive is the site.

The heading is not read: it refers to the direction of the recording car, which the files do not give. (Within a frame, it differs from
the direction of motion by the same angle for all moving vehicles, and that angle changes from frame to frame.) Headings are therefore
derived from the motion. The recording car itself is not in the files.

Format: https://github.com/ApolloScapeAuto/dataset-api/tree/master/trajectory_prediction
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.files import find_files
from twm_core.data.importing.pieces import pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tables import WHITESPACE, ColumnType, read_table
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_text.config import ApolloScapeConfig

COLUMNS = ("frame", "id", "type", "x", "y", "z", "length", "width", "height", "heading")
"""What a line holds, in order."""

READ: dict[str, ColumnType] = {
    "frame": "int",
    "id": "int",
    "type": "int",
    "x": "float",
    "y": "float",
    "length": "float",
    "width": "float",
    "height": "float",
}
"""What is read of it."""

TYPES = {1: "car", 2: "truck", 3: "pedestrian", 4: "bicycle", 5: "other"}
"""What the numbers of types stand for."""

LONGEST_GAP = 5.0
"""Seconds that an agent may be away and still be the same track."""

_NAME = re.compile(r"result_(?P<drive>\d+)_(?P<index>\d+)_frame")
_OFFICIAL = ("prediction_train", "prediction_test", "prediction_result")


def build(config: ApolloScapeConfig) -> ApolloScapeReader:
    """The reader."""
    return ApolloScapeReader(config)


class ApolloScapeReader(Reader):
    """Reads ApolloScape trajectory files."""

    credits = Credits(
        dataset="ApolloScape trajectory",
        licence="terms of apolloscape.auto: research, non-commercial",
        citation="Y. Ma, X. Zhu, S. Zhang, R. Yang, W. Wang, D. Manocha: TrafficPredict, AAAI 2019",
    )

    def __init__(self, config: ApolloScapeConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        def accept(path: Path) -> bool:
            return path.suffix == ".txt" and (_NAME.fullmatch(path.stem) is not None or path.stem.startswith(_OFFICIAL))

        what = "ApolloScape trajectories (result_<drive>_<index>_frame.txt)"
        return [Source(name, (path,)) for name, path in find_files(paths, accept, what=what)]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        path, config = source.files[0], self.config
        match = _NAME.fullmatch(path.stem)
        memory = TrackMemory()
        for piece in pieces(self._rows(path), file=path.name, dt=config.dt, scenario_seconds=config.scenario_seconds):
            yield make_recording(
                piece.rows,
                file=path.name,
                longest_gap=round(LONGEST_GAP / config.dt),
                memory=memory,
                begin_step=piece.begin,
                id=piece.name(source.name),
                site=config.site or (match["drive"] if match else path.stem),
                group=source.name,
                start=piece.begin * config.dt,
                dt=config.dt,
                provenance=dict.fromkeys(_KEPT, "box of the publisher, from lidar"),
            )

    def _rows(self, path: Path) -> Iterator[tuple[int, Rows]]:
        empty = True
        for chunk in read_table(path, READ, complete=tuple(READ), delimiter=WHITESPACE, header=COLUMNS):
            empty = False
            unknown = np.flatnonzero(~np.isin(chunk["type"], list(TYPES)))
            if len(unknown):
                row = int(unknown[0])
                raise DataError(
                    f"{path.name}, row {chunk.line[row]}: type {chunk['type'][row]} is none of {', '.join(map(str, TYPES))}",
                    "columns are frame, id, type, x, y, z, length, width, height, heading",
                )
            for name in ("length", "width", "height"):
                bad = np.flatnonzero(chunk[name] < 0)
                if len(bad):
                    raise DataError(f"{path.name}, row {chunk.line[bad[0]]}: {name} {chunk[name][bad[0]]:g} is negative", "repair the row")
            kind: NDArray[np.int64] = np.zeros(max(TYPES) + 1, dtype=np.int64)
            kind[list(TYPES)] = [AGENT_TYPES.index(name) for name in TYPES.values()]
            yield (
                0,
                Rows(
                    track=chunk["id"],
                    step=chunk["frame"],
                    columns={name: _positive(chunk[name]) if name not in ("x", "y") else chunk[name] for name in _KEPT},
                    type=kind[chunk["type"]],
                    line=chunk.line,
                ),
            )
        if empty:
            raise DataError(f"{path.name} holds no rows", "leave the file out")

    def example(self, folder: Path) -> list[Path]:
        path = folder / "result_9001_1_frame.txt"
        lines = []
        for frame in range(24):
            lines.append(f"{frame} 1 1 {100 + 4.5 * frame:.3f} {50 - 0.2 * frame:.3f} 37.7 4.6 1.9 1.5 -0.02")
            if frame >= 4:
                lines.append(f"{frame} 7 2 {130 + 2.0 * frame:.3f} 53.500 37.9 9.2 2.5 3.1 0.01")
            if frame < 15:
                lines.append(f"{frame} 12 3 120.250 {40 + 0.6 * frame:.3f} 37.6 0.6 0.7 1.75 1.57")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [path]


_KEPT = ("x", "y", "length", "width", "height")


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sizes, of which 0 says that they were not measured."""
    return np.where(values > 0, values, np.nan)
