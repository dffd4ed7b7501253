"""SUMO's FCD output as a stream of NumPy chunks: one row per agent and time step, in the order of the file.

Two formats hold the same values. XML: `<timestep time><vehicle id x y angle speed lane .../><person .../></timestep>`. CSV: the same
names behind a prefix (`timestep_time;vehicle_id;vehicle_x;...`, or plain), with one almost empty line for a time step without agents, and
persons in the columns of vehicles. Values stay as SUMO writes them: the front bumper, degrees clockwise from north.

Format: sumo.dlr.de, Simulation/Output/FCDOutput.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.tables import ColumnType, read_table, table_header
from twm_core.errors import DataError
from twm_sumo.xml_stream import LARGEST, number, seconds, tags, text

_NUMBERS = ("x", "y", "angle", "speed", "acceleration")
_TEXTS = ("id", "type", "lane", "leaderID")
_NEEDED = ("x", "y", "angle")
_ROWS = 10_000
_FEET = {"person": "DEFAULT_PEDTYPE", "container": "DEFAULT_CONTAINERTYPE"}


@dataclass(frozen=True)
class FcdChunk:
    """Consecutive rows of FCD output.

    Attributes:
        time: float64 `[R]`, seconds.
        numbers: float64 `[R]` each: x, y, angle, speed, acceleration; NaN where the file gives none.
        texts: str `[R]` each: id, type, lane, leaderID; empty where the file gives none. `leaderID` is not there if the file has no such
            attribute.
        line: int64 `[R]`, line in the file.
        empty_times: Times of steps without agents, float64.
    """

    time: NDArray[np.float64]
    numbers: dict[str, NDArray[np.float64]]
    texts: dict[str, NDArray[Any]]
    line: NDArray[np.int64]
    empty_times: NDArray[np.float64]


def is_fcd(path: Path) -> bool:
    """Whether the beginning of a file looks like FCD output. Files that cannot be read do not."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(1 << 14)
    except (OSError, EOFError, zlib.error):
        return False
    if ".csv" in path.suffixes[-2:]:
        names = {_bare(name) for name in head.split(b"\n", 1)[0].decode("utf-8", "replace").replace(",", ";").split(";")}
        return {"time", "id", "x", "y", "angle"} <= names
    return b"<fcd-export" in head


def read_fcd(path: Path) -> Iterator[FcdChunk]:
    """Read FCD output, XML or CSV, plain or gzip.

    Raises:
        DataError: The file is malformed; the message names file and line.
    """
    return _read_csv(path) if ".csv" in path.suffixes[-2:] else _read_xml(path)


def _read_xml(path: Path) -> Iterator[FcdChunk]:
    time = 0.0
    times: list[float] = []
    lines: list[int] = []
    empty: list[float] = []
    numbers: dict[str, list[float]] = {name: [] for name in _NUMBERS}
    texts: dict[str, list[str]] = {name: [] for name in _TEXTS}
    began, inside, leaders = False, 0, False

    def chunk() -> FcdChunk:
        found = FcdChunk(
            np.asarray(times, dtype=np.float64),
            {n: np.asarray(v, dtype=np.float64) for n, v in numbers.items()},
            {n: np.asarray(v, dtype=np.str_) for n, v in texts.items() if n != "leaderID" or leaders},
            np.asarray(lines, dtype=np.int64),
            np.asarray(empty, dtype=np.float64),
        )
        for values in (times, lines, empty, *numbers.values(), *texts.values()):
            values.clear()
        return found

    for name, attributes, line in tags(path):
        if name == "timestep":
            if began and not inside:
                empty.append(time)
            if len(times) >= _ROWS:
                yield chunk()
            where = f"{path.name}, line {line}"
            time, began, inside = seconds(text(attributes, "time", where), where), True, 0
        elif name in ("vehicle", "person", "container"):
            if not began:
                raise DataError(f"{path.name}, line {line}: a {name} before the first timestep", "give an unchanged FCD output")
            inside += 1
            times.append(time)
            lines.append(line)
            for key, values in numbers.items():
                given = attributes.get(key)
                if given is None:
                    if key in _NEEDED:
                        text(attributes, key, f"{path.name}, line {line}")
                    values.append(np.nan)
                else:
                    values.append(number(given, key, f"{path.name}, line {line}"))
            identity = text(attributes, "id", f"{path.name}, line {line}")
            for key, value in (
                ("id", identity),
                ("type", attributes.get("type", _FEET.get(name, ""))),
                ("lane", attributes.get("lane", "")),
            ):
                texts[key].append(value)
            leaders |= "leaderID" in attributes
            texts["leaderID"].append(attributes.get("leaderID", ""))
    if not began:
        raise DataError(f"{path.name} has no timestep", "give FCD output of SUMO (--fcd-output)")
    if not inside:
        empty.append(time)
    yield chunk()


def _bare(name: str) -> str:
    """`id` for `vehicle_id` and `timestep_vehicle_id`."""
    return name.strip().strip('"').rpartition("_")[2]


def _read_csv(path: Path) -> Iterator[FcdChunk]:
    delimiter = max(";,\t", key=table_header(path, delimiter="\x1f")[0].count)
    given = table_header(path, delimiter=delimiter)
    known: dict[str, str] = {}
    for name in given:
        known.setdefault(_bare(name), name)
    lacking = [n for n in ("time", "id", *_NEEDED) if n not in known]
    if lacking:
        raise DataError(
            f"{path.name}, row 1: there is no column {', '.join(lacking)} among {', '.join(given)[:300]}",
            "write the output with a header (--output.column-header) and with these attributes (--fcd-output.attributes)",
        )
    wanted = {known["time"]: "time", **{known[n]: n for n in (*_NUMBERS, *_TEXTS) if n in known}}
    clock = _has_clock(path, delimiter, known["time"])
    types: dict[str, ColumnType] = {c: "str" if n in _TEXTS or (n == "time" and clock) else "float" for c, n in wanted.items()}
    anything = False
    for part in read_table(path, types, complete=[known["time"]], delimiter=delimiter):
        anything |= len(part) > 0
        columns = {n: part[c] for c, n in wanted.items() if c in part}
        if not columns:
            continue
        times = columns["time"]
        if clock:
            times = np.asarray([seconds(str(v), f"{path.name}, row {r}") for v, r in zip(times, part.line, strict=True)])
        full = columns["id"] != ""
        for name in _NUMBERS:
            values = columns.get(name, np.full(len(part), np.nan))
            columns[name] = values
            bad = full & (~(np.abs(values) <= LARGEST) if name in _NEEDED else np.abs(values) > LARGEST)
            if bad.any():
                at = int(np.flatnonzero(bad)[0])
                raise DataError(f"{path.name}, row {part.line[at]}: {name} is {values[at]}, which is not possible", "repair the row")
        if (np.abs(times) > LARGEST).any():
            at = int(np.flatnonzero(np.abs(times) > LARGEST)[0])
            raise DataError(f"{path.name}, row {part.line[at]}: time is {times[at]}, which is not possible", "repair the row")
        nothing = np.full(len(part), "", dtype=np.str_)
        yield FcdChunk(
            times[full],
            {n: columns[n][full] for n in _NUMBERS},
            {n: columns.get(n, nothing)[full] for n in _TEXTS if n != "leaderID" or n in columns},
            part.line[full],
            times[~full],
        )
    if not anything:
        raise DataError(f"{path.name} has no rows", "give FCD output of SUMO (--fcd-output)")


def _has_clock(path: Path, delimiter: str, column: str) -> bool:
    """Whether the first time is of the form h:m:s (`--human-readable-time`)."""
    for part in read_table(path, {column: "str"}, delimiter=delimiter, chunk_rows=1):
        return bool(len(part)) and ":" in str(part[column][0])
    return False
