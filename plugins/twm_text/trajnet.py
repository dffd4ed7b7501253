"""The reader `trajnet`: pedestrians from TrajNet (2018) text files and TrajNet++ ndjson files, 2.5 Hz, metres.

Text: one line `frame id x y`, separated by blanks. Frame numbers are those of the video and count differently in every scene; the smallest
distance between two frames of a track is one step. In test files x and y are `?` where a prediction is asked for: such rows are left out
and counted.

ndjson: one JSON object a line, either a track row or a scene:

    {"track": {"f": frame, "p": pedestrian, "x": x, "y": y}}
    {"scene": {"id": number, "p": primary pedestrian, "s": first frame, "e": last frame, "fps": rate, "tag": kind}}

Rows with `prediction_number` are somebody's predictions, not data; they are left out and counted. A step lasts 1 / fps where a scene says
so, else the option `dt`. A file is one recording; with `scenes`, each scene is a scenario that scores its primary pedestrian.

Formats: http://trajnet.stanford.edu (2018); https://github.com/vita-epfl/trajnetplusplustools
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.files import find_files
from twm_core.data.importing.pieces import pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tables import WHITESPACE, read_table
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_text.config import TrajNetConfig

LONGEST_GAP = 20
"""Steps that a pedestrian may be away and still be the same track."""

_HINT = 'lines are {"track": {"f", "p", "x", "y"}} or {"scene": {"id", "p", "s", "e", "fps"}}'


@dataclass(frozen=True)
class Scene:
    """A scene of TrajNet++: its number, primary pedestrian, first and last frame, rate (None where not said), and line in its file."""

    id: int
    primary: int
    first: int
    last: int
    fps: float | None
    line: int


@dataclass(frozen=True)
class Table:
    """The rows of a file `[R]`, with their lines, its scenes, and what was left out."""

    frame: NDArray[np.int64]
    person: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    line: NDArray[np.int64]
    scenes: tuple[Scene, ...]
    skipped: Mapping[str, int]

    def rows(self, step: NDArray[np.int64], keep: NDArray[np.bool_]) -> Rows:
        """Those that are kept, at their steps."""
        return Rows(
            track=self.person[keep],
            step=step[keep],
            columns={"x": self.x[keep], "y": self.y[keep]},
            type=np.full(int(keep.sum()), AGENT_TYPES.index("pedestrian"), dtype=np.int64),
            line=self.line[keep],
        )


def build(config: TrajNetConfig) -> TrajNetReader:
    """The reader."""
    return TrajNetReader(config)


class TrajNetReader(Reader):
    """Reads TrajNet and TrajNet++ files, each as a whole."""

    credits = Credits(
        dataset="TrajNet",
        licence="terms of the recordings that it is made of (SDD part: CC BY-NC-SA 3.0)",
        citation="A. Sadeghian et al.: TrajNet, 2018; P. Kothari, S. Kreiss, A. Alahi: Human Trajectory Forecasting in Crowds, 2021",
    )

    def __init__(self, config: TrajNetConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        found = find_files(paths, lambda p: p.suffix in (".txt", ".ndjson"), what="TrajNet (.txt or .ndjson)")
        return [Source(name, (path,)) for name, path in found]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        path, config = source.files[0], self.config
        table = read_ndjson(path) if path.suffix == ".ndjson" else read_text(path)
        if not len(table.frame):
            raise DataError(f"{path.name} holds no positions", "leave the file out")
        unit, first = frame_unit(table), int(table.frame.min())
        apart = np.flatnonzero((table.frame - first) % unit)
        if len(apart):
            row = int(apart[0])
            raise DataError(
                f"{path.name}, row {table.line[row]}: frame {table.frame[row]} is no multiple of {unit} frames after frame {first}",
                "all tracks of a file must be sampled at the same frames",
            )
        step = (table.frame - first) // unit
        dt = _dt(table.scenes, config.dt, path.name)
        site = config.site or Path(source.name).name
        if table.skipped:
            yield Skipped(table.skipped)
        if config.scenes and table.scenes:
            yield from self._scenes(table, step, source, dt, site)
            return
        everything = np.ones(len(step), dtype=bool)
        chunks = [(0, table.rows(step, everything))]
        memory = TrackMemory()
        for piece in pieces(chunks, file=path.name, dt=dt, scenario_seconds=config.scenario_seconds):
            yield make_recording(
                piece.rows,
                file=path.name,
                longest_gap=LONGEST_GAP,
                memory=memory,
                begin_step=piece.begin,
                id=piece.name(source.name),
                site=site,
                group=source.name,
                start=piece.begin * dt,
                dt=dt,
            )

    def _scenes(self, table: Table, step: NDArray[np.int64], source: Source, dt: float, site: str) -> Iterator[Recording]:
        order = np.argsort(table.frame, kind="stable")
        frames = table.frame[order]
        for scene in table.scenes:
            inside = np.zeros(len(step), dtype=bool)
            inside[order[np.searchsorted(frames, scene.first) : np.searchsorted(frames, scene.last, side="right")]] = True
            whose = f"{source.files[0].name}, row {scene.line}: scene {scene.id}"
            if not (table.person[inside] == scene.primary).any():
                raise DataError(f"{whose} has no row of its primary pedestrian {scene.primary}", "repair or remove the scene")
            begin = int(step[inside].min())
            recording = make_recording(
                table.rows(step - begin, inside),
                file=source.files[0].name,
                longest_gap=LONGEST_GAP,
                id=f"{source.name}/{scene.id}",
                site=site,
                group=source.name,
                start=begin * dt,
                dt=dt,
            )
            scored = np.asarray([name.split("#")[0] == str(scene.primary) for name in recording.track], dtype=bool)
            yield replace(recording, scored=scored)

    def example(self, folder: Path) -> list[Path]:
        lines = []
        for step in range(24):
            lines.append(f"{780 + 12 * step} 3 {-9.957 + 0.42 * step:.3f} {2.5 - 0.08 * step:.3f}")
            if step >= 4:
                lines.append(f"{780 + 12 * step} 8 {4.0 - 0.3 * step:.3f} {1.0 + 0.02 * step:.3f}")
            if step < 20:
                lines.append(f"{780 + 12 * step} 5 1.250 {0.1 * step:.3f}")
        text = folder / "scene_0.txt"
        text.write_text("\n".join(lines) + "\n", encoding="utf-8")
        objects: list[dict[str, Any]] = [{"scene": {"id": 0, "p": 1, "s": 0, "e": 200, "fps": 2.5, "tag": [3, [2]]}}]
        for step in range(24):
            objects.append({"track": {"f": 10 * step, "p": 1, "x": round(0.4 * step, 2), "y": 1.0}})
            if step >= 3:
                objects.append({"track": {"f": 10 * step, "p": 2, "x": 8.0, "y": round(5 - 0.3 * step, 2)}})
        path = folder / "scene_1.ndjson"
        path.write_text("".join(json.dumps(o) + "\n" for o in objects), encoding="utf-8")
        return [text, path]


def read_text(path: Path) -> Table:
    """The rows of a TrajNet text file.

    Raises:
        DataError: A row is malformed; file and row are named.
    """
    parts: list[tuple[NDArray[Any], ...]] = []
    asked = 0
    names = ("frame", "id", "x", "y")
    for chunk in read_table(
        path, {"frame": "int", "id": "int", "x": "str", "y": "str"}, complete=names, delimiter=WHITESPACE, header=names
    ):
        unknown = (chunk["x"] == "?") & (chunk["y"] == "?")
        asked += int(unknown.sum())
        keep = ~unknown
        line = chunk.line[keep]
        x, y = (_floats(chunk[name][keep], line, f"{path.name}", name) for name in ("x", "y"))
        parts.append((chunk["frame"][keep], chunk["id"][keep], x, y, line))
    if not parts:
        raise DataError(f"{path.name} holds no rows", "leave the file out")
    frame, person, x, y, line = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Table(frame, person, x, y, line, (), {"positions to be predicted (?)": asked} if asked else {})


def _floats(words: NDArray[np.str_], line: NDArray[np.int64], file: str, name: str) -> NDArray[np.float64]:
    """Words as numbers; the row of the first that is none is named."""
    try:
        values = words.astype(np.float64)
    except ValueError:
        values = np.asarray([_float_or_nan(word) for word in words.tolist()], dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise DataError(f"{file}, row {line[bad[0]]}: {name} is {str(words[bad[0]])!r}, not a finite number", "repair or remove the row")
    return values


def _float_or_nan(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def read_ndjson(path: Path) -> Table:
    """The rows and scenes of a TrajNet++ file.

    Raises:
        DataError: A line is malformed; file and row are named.
    """
    rows: list[tuple[int, int, int]] = []
    places: list[tuple[float, float]] = []
    scenes: list[Scene] = []
    skipped: Counter[str] = Counter()
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                whose = f"{path.name}, row {number}"
                kind, entry = _object(text, whose)
                if kind == "scene":
                    scenes.append(_scene(entry, whose, number))
                elif entry.get("prediction_number") is not None:
                    skipped["rows that are predictions"] += 1
                else:
                    rows.append((_integer(entry, "f", whose), _integer(entry, "p", whose), number))
                    places.append((_real(entry, "x", whose), _real(entry, "y", whose)))
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: not UTF-8 text ({error.reason} at byte {error.start})", "save the file as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path.name}: cannot be read ({error.strerror})", "check the path and its permissions") from error
    counted = np.asarray(rows, dtype=np.int64).reshape(-1, 3)
    xy = np.asarray(places, dtype=np.float64).reshape(-1, 2)
    return Table(counted[:, 0], counted[:, 1], xy[:, 0], xy[:, 1], counted[:, 2], tuple(scenes), dict(skipped))


def _object(text: str, whose: str) -> tuple[str, Mapping[str, Any]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{whose}: not JSON ({error})", _HINT) from error
    for kind in ("track", "scene"):
        if isinstance(value, dict) and isinstance(value.get(kind), dict):
            return kind, value[kind]
    raise DataError(f"{whose}: {text.strip()[:60]!r} is neither a track nor a scene", _HINT)


def _scene(entry: Mapping[str, Any], whose: str, line: int) -> Scene:
    fps = None if entry.get("fps") is None else _real(entry, "fps", whose)
    if fps is not None and fps <= 0:
        raise DataError(f"{whose}: fps is {fps:g}", "give frames per second")
    first, last = _integer(entry, "s", whose), _integer(entry, "e", whose)
    return Scene(_integer(entry, "id", whose), _integer(entry, "p", whose), first, last, fps, line)


def _integer(entry: Mapping[str, Any], key: str, whose: str) -> int:
    value = _real(entry, key, whose)
    if value != round(value) or abs(value) > 2**53:
        raise DataError(f"{whose}: {key} is {value:g}, not a whole number", _HINT)
    return int(value)


def _real(entry: Mapping[str, Any], key: str, whose: str) -> float:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or not math.isfinite(value):
        raise DataError(f"{whose}: {key} is {str(value)[:40]}, not a finite number", _HINT)
    return float(value)


def frame_unit(table: Table) -> int:
    """Frames in a step: the smallest distance between two frames of one track; 1 where no track has two."""
    order = np.lexsort((table.frame, table.person))
    apart = np.diff(table.frame[order])[(np.diff(table.person[order]) == 0) & (np.diff(table.frame[order]) > 0)]
    return int(apart.min()) if len(apart) else 1


def _dt(scenes: Sequence[Scene], default: float, file: str) -> float:
    rates = {scene.fps: scene for scene in scenes if scene.fps is not None}
    if len(rates) > 1:
        a, b = list(rates.values())[:2]
        raise DataError(
            f"{file}, row {b.line}: scene {b.id} has {b.fps:g} fps, scene {a.id} has {a.fps:g}", "put scenes of one rate in a file"
        )
    return 1 / next(iter(rates)) if rates else default
