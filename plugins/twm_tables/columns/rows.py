"""Conversions of the reader `columns`: types, steps, positions, angles, velocities and sizes, as a mapping file says.

Positions, in this order: unit to metres (or homography), corner of the box to its centre, y downwards to y upwards, exchange of x and y,
origin; then, with a heading, front or rear to centre. A homography H takes (x, y) to (X / W, Y / W) with (X, Y, W) = H (x, y, 1).
Angles and velocities are turned as the axes are. A front or rear without a heading column uses the direction of motion (`headings`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data.importing.pieces import ColumnsPiece
from twm_core.data.importing.tables import distinct
from twm_core.data.importing.tracks import Rows
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_tables.clock import parse_time
from twm_tables.columns.mapping import ACCELERATIONS, METRES, SECONDS, SPEEDS, Mapping
from twm_tables.columns.table import MappedTable, plain_names
from twm_tables.headings import HeadingMemory, motion_headings, to_centre
from twm_tables.limits import Floats, Ints, check_positions, check_sizes


def types_of(table: MappedTable, values: NDArray[Any] | None, line: Ints) -> Ints:
    """Agent types of rows."""
    part = table.mapping.type
    if part is None or values is None:
        return np.full(len(line), AGENT_TYPES.index(part.constant if part else "unknown"), dtype=np.int64)
    names = plain_names(values)
    unique, which = distinct(names)
    found = []
    for name in map(str, unique):
        word = part.values.get(name) or (name.casefold() if not part.values and name.casefold() in AGENT_TYPES else None)
        word = word or part.default or ("unknown" if name == "" else None)
        if word is None:
            row = line[np.argmax(names == name)]
            raise DataError(
                f"{table.path}, row {row}: type {name!r} ({table.says('type.column')}) is not in type.values of {table.where}",
                f'add "{name}" there, or set type.default',
            )
        found.append(AGENT_TYPES.index(word))
    return np.asarray(found, dtype=np.int64)[which]


def steps_of(table: MappedTable, values: NDArray[Any], line: Ints) -> Ints:
    """Steps of rows.

    Raises:
        DataError: A time is missing, is none, or lies between two steps.
    """
    part = table.mapping.time
    if values.dtype.kind == "U":
        unique, which = distinct(values)
        seconds = np.asarray([np.nan if (s := parse_time(str(text))) is None else s for text in unique])[which]
    elif part.unit in ("frames", "datetime"):
        seconds = values
    else:
        seconds = values * SECONDS[part.unit]
    exact = seconds / (part.frames_per_step if part.unit == "frames" else part.step_seconds)
    step = np.rint(np.nan_to_num(exact))
    tolerance = 1e-6 if part.unit == "frames" else 0.25
    bad = ~(np.abs(exact - step) <= tolerance) | (np.abs(step) >= 2.0**53)
    if bad.any():
        at = int(np.argmax(bad))
        between = np.isfinite(exact[at])
        what = "lies between two steps" if between else "is no time"
        hint = "correct time.dt" if part.unit != "frames" else "correct time.frames_per_step"
        raise DataError(
            f"{table.path}, row {line[at]}: {values[at]} ({table.says('time.column')}) {what} ({int(bad.sum())} such rows)",
            hint if between else "repair the row",
        )
    return step.astype(np.int64)


def rows_of(
    table: MappedTable, piece: ColumnsPiece, numbers: dict[str, int], lanes: list[str], headings: HeadingMemory
) -> tuple[Rows, dict[str, str]]:
    """The rows of a piece in metres and radians, and what was done to them."""
    columns, mapping = piece.columns, table.mapping
    line, track, file = columns["line"], columns["track"], table.path.name
    position = mapping.position
    sizes = _sizes(file, line, columns, mapping)
    x, y = _positions(columns, sizes, mapping)
    check_positions(file, line, x, y)
    values: dict[str, Floats] = {}
    provenance: dict[str, str] = {}
    heading = _heading(columns, mapping)
    if heading is None and (position.reference in ("front", "rear") or (mapping.velocity and mapping.velocity.speed is not None)):
        step = piece.step + piece.begin
        heading = motion_headings(track, step, x, y, mapping.time.step_seconds, np.full(len(x), np.nan), headings)
        provenance["heading"] = "direction of motion over the last 0.5 s, held while standing"
    if position.reference in ("front", "rear") and heading is not None:
        x, y = to_centre(x, y, heading, sizes["length"], front=position.reference == "front")
        moved = "back" if position.reference == "front" else "forward"
        provenance |= dict.fromkeys(("x", "y"), f"{position.reference} of the box, moved {moved} by half the length along the heading")
    if heading is not None:
        values["heading"] = heading
    if mapping.velocity is not None:
        speed = SPEEDS[mapping.velocity.unit]
        if mapping.velocity.speed is not None and heading is not None:
            along = columns["velocity.speed"] * speed
            values |= {"vx": along * np.cos(heading), "vy": along * np.sin(heading)}
            provenance |= dict.fromkeys(("vx", "vy"), "recorded speed along the heading")
        else:
            values["vx"], values["vy"] = _turned(columns["velocity.x"] * speed, columns["velocity.y"] * speed, mapping)
    if mapping.acceleration is not None:
        gain = ACCELERATIONS[mapping.acceleration.unit]
        values["ax"], values["ay"] = _turned(columns["acceleration.x"] * gain, columns["acceleration.y"] * gain, mapping)
    code = {lane: i for i, lane in enumerate(("", *lanes))}
    lane = None
    if "lane" in columns:
        names, which = distinct(columns["lane"])
        lane = np.asarray([code[str(n)] for n in names], dtype=np.int64)[which]
    by_number = np.asarray(list(numbers), dtype=np.str_)
    rows = Rows(
        track=by_number[track],
        step=piece.step,
        columns={"x": x, "y": y, **values, **sizes},
        type=columns["type"],
        lane=lane,
        leader=columns.get("leader"),
        follower=columns.get("follower"),
        no_track="",
        line=line,
    )
    return rows, provenance


def _sizes(file: str, line: Ints, columns: dict[str, NDArray[Any]], mapping: Mapping) -> dict[str, Floats]:
    if mapping.size is None:
        return {}
    unit = mapping.position.metres if mapping.size.unit == "px" else METRES[mapping.size.unit]
    names = [name for name in ("length", "width", "height") if f"size.{name}" in columns]
    return check_sizes(file, line, {name: columns[f"size.{name}"] * unit for name in names})


def _positions(columns: dict[str, NDArray[Any]], sizes: dict[str, Floats], mapping: Mapping) -> tuple[Floats, Floats]:
    """Positions in metres along our axes; of the front or rear where the mapping says so."""
    position = mapping.position
    x, y = columns["position.x"], columns["position.y"]
    if position.homography is not None:
        h = np.asarray(position.homography)
        with np.errstate(divide="ignore", invalid="ignore"):
            x, y, w = (row[0] * x + row[1] * y + row[2] for row in h)
            x, y = x / w, y / w
    else:
        x, y = x * position.metres, y * position.metres
    if position.reference == "corner":
        x, y = x + np.nan_to_num(sizes["length"]) / 2, y + np.nan_to_num(sizes["width"]) / 2
    x, y = _turned(x, y, mapping)
    return x + position.origin[0], y + position.origin[1]


def _turned(x: Floats, y: Floats, mapping: Mapping) -> tuple[Floats, Floats]:
    """A vector along our axes."""
    if mapping.position.y_down:
        y = -y
    return (y, x) if mapping.position.swap else (x, y)


def _heading(columns: dict[str, NDArray[Any]], mapping: Mapping) -> Floats | None:
    if mapping.heading is None:
        return None
    angle = columns["heading.column"]
    angle = np.radians(angle) if mapping.heading.unit == "deg" else angle
    if mapping.heading.compass:
        return wrap(np.pi / 2 - angle)
    if mapping.position.y_down:
        angle = -angle
    return wrap(np.pi / 2 - angle if mapping.position.swap else angle)
