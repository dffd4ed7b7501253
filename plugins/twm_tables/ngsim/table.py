"""The tables of NGSIM: which columns they have, which way they are written, and which periods of recording are in them.

The combined CSV of the US Department of Transportation ("Next Generation Simulation (NGSIM) Vehicle Trajectories and Supporting Data") has
25 named columns; the original text files have the first 14 and last 4 of them (freeways) or all but `Location` (arterials), without names,
set apart by blanks. Vehicle numbers begin again in every period of recording. A period is where `Global_Time - 100 ms * Frame_ID` is
constant, so that is looked up first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.tables import WHITESPACE, Chunk, ColumnType, distinct, read_table, table_header
from twm_core.errors import DataError

Ints = NDArray[np.int64]

MILLISECONDS = 100
"""Between two frames."""

COLUMNS: dict[str, ColumnType] = {
    "Vehicle_ID": "int",
    "Frame_ID": "int",
    "Total_Frames": "int",
    "Global_Time": "int",
    "Local_X": "float",
    "Local_Y": "float",
    "Global_X": "float",
    "Global_Y": "float",
    "v_Length": "float",
    "v_Width": "float",
    "v_Class": "int",
    "v_Vel": "float",
    "v_Acc": "float",
    "Lane_ID": "int",
    "O_Zone": "float",
    "D_Zone": "float",
    "Int_ID": "int",
    "Section_ID": "int",
    "Direction": "int",
    "Movement": "float",
    "Preceding": "int",
    "Following": "int",
    "Space_Headway": "float",
    "Time_Headway": "float",
    "Location": "str",
}
"""Of the combined CSV, in order."""

ARTERIAL = ("O_Zone", "D_Zone", "Int_ID", "Section_ID", "Direction", "Movement")
"""What the files of freeways do not have."""

UNUSED = ("O_Zone", "D_Zone", "Movement", "Space_Headway", "Time_Headway")

ALIASES = {"Space_Headway": ("Space_Hdwy",), "Time_Headway": ("Time_Hdwy",), "v_Vel": ("v_Velocity",), "v_Acc": ("v_Acceleration",)}

SITES = {"us-101": r"us[-_ ]?101", "i-80": r"i[-_ ]?80", "lankershim": "lankershim", "peachtree": "peachtree"}


@dataclass(frozen=True)
class Layout:
    """How a file is written: its delimiter, and its names or True where it has a header."""

    delimiter: str
    header: bool | list[str]


def layout_of(path: Path) -> Layout:
    """The layout of a file, from its first line.

    Raises:
        DataError: It has no header and neither 18 nor 24 nor 25 columns.
    """
    line = ",".join(table_header(path))
    delimiter = "," if "," in line else ";" if ";" in line else WHITESPACE
    names = table_header(path, delimiter=delimiter)
    if re.search("[A-Za-z_]{3}", "".join(names[:8])):
        return Layout(delimiter, True)
    every = list(COLUMNS)
    known = {18: [n for n in every[:-1] if n not in ARTERIAL], 24: every[:-1], 25: every}
    if len(names) not in known:
        raise DataError(
            f"{path}, row 1: no header, and {len(names)} columns where NGSIM has 18 (freeways), 24 (arterials) or 25 (combined)",
            "give NGSIM trajectories, or describe other tables with the reader columns",
        )
    return Layout(delimiter, known[len(names)])


def rows_of(path: Path, layout: Layout, wanted: tuple[str, ...]) -> Iterator[Chunk]:
    """Chunks of the wanted columns."""
    types = {name: COLUMNS[name] for name in wanted}
    may_lack = {
        *ARTERIAL,
        "Location",
        "v_Vel",
        "v_Acc",
        "Global_X",
        "Global_Y",
        "Preceding",
        "Following",
        "Lane_ID",
        "v_Class",
        "Total_Frames",
    }
    return read_table(
        path,
        types,
        optional=[n for n in wanted if n in may_lack],
        complete=[n for n in wanted if n in ("Vehicle_ID", "Frame_ID", "Global_Time", "Local_X", "Local_Y")],
        aliases=ALIASES,
        delimiter=layout.delimiter,
        header=layout.header,
        thousands=True,
    )


def site_of(path: Path) -> str:
    """The place that a file without `Location` is from, as its name or its folders say; its name otherwise."""
    for part in (path.name, *(p.name for p in path.resolve().parents)):
        for site, pattern in SITES.items():
            if re.search(pattern, part, re.IGNORECASE):
                return site
    return path.name.split(".")[0]


@dataclass
class Periods:
    """The periods of recording in a file.

    Attributes:
        bases: For each place, the times in ms of frame 0 of its periods, in order.
        strays: Bases of rows whose frame and time do not belong together, by place.
        variants: For each (place, period, vehicle) that has several `Total_Frames`, those that are vehicles of their own.
    """

    bases: dict[str, list[int]] = field(default_factory=dict)
    strays: dict[str, set[int]] = field(default_factory=dict)
    variants: dict[tuple[str, int, int], list[int]] = field(default_factory=dict)
    _near: dict[str, tuple[Ints, Ints]] = field(default_factory=dict)

    def of(self, place: str, bases: Ints) -> Ints:
        """Number of the period of rows with these bases, -1 for strays."""
        known, period = self._near[place]
        return period[np.searchsorted(known, bases)]


def find_periods(path: Path, layout: Layout, site: str) -> Periods:
    """Read frames and times once.

    Raises:
        DataError: The file has no rows, or its frames and times have nothing to do with one another.
    """
    counts: dict[str, Counter[int]] = {}
    totals: dict[str, Counter[tuple[int, int, int]]] = {}
    for chunk in rows_of(path, layout, ("Location", "Vehicle_ID", "Frame_ID", "Global_Time", "Total_Frames")):
        base = chunk["Global_Time"] - MILLISECONDS * chunk["Frame_ID"]
        for place, where in places(chunk, site):
            seen = counts.setdefault(place, Counter())
            seen.update(_counted(base[where]))
            if len(seen) > 1000:
                raise DataError(
                    f"{path}, row {chunk.line[where][-1]}: Global_Time does not grow by {MILLISECONDS} ms with every Frame_ID",
                    "NGSIM has 10 frames per second; describe other tables with the reader columns",
                )
            if "Total_Frames" in chunk:
                rows = np.stack([base[where], chunk["Vehicle_ID"][where], chunk["Total_Frames"][where]], axis=1)
                seen_totals = totals.setdefault(place, Counter())
                begins = np.flatnonzero(np.append(True, (np.diff(rows, axis=0) != 0).any(axis=1)))  # Rows mostly stand by vehicle.
                for (b, v, t), n in zip(rows[begins].tolist(), np.diff(np.append(begins, len(rows))).tolist(), strict=True):
                    seen_totals[b, v, t] += n
    periods = Periods()
    for place, seen in counts.items():
        _cluster(periods, place, seen)
        _variants(periods, place, totals.get(place, Counter()))
    return periods


def places(chunk: Chunk, site: str) -> Iterator[tuple[str, Any]]:
    """The places in a chunk and their rows."""
    if "Location" not in chunk:
        yield site, slice(None)
        return
    names, which = distinct(chunk["Location"])
    for i, name in enumerate(names.tolist()):
        yield (name.casefold() or site), which == i


def _counted(values: Ints) -> dict[int, int]:
    unique, counts = np.unique(values, return_counts=True)
    return dict(zip(unique.tolist(), counts.tolist(), strict=True))


def _cluster(periods: Periods, place: str, seen: Counter[int]) -> None:
    """Bases within a second of a more frequent one are the same period; rare ones beside frequent ones are strays."""
    main: list[int] = []
    owner: dict[int, int] = {}
    for base, _ in sorted(seen.items(), key=lambda entry: (-entry[1], entry[0])):
        close = [m for m in main if abs(m - base) <= 1000]
        owner[base] = close[0] if close else base
        if not close:
            main.append(base)
    most = max(seen.values())
    rows = Counter[int]()
    for base, n in seen.items():
        rows[owner[base]] += n
    strays = {m for m in main if rows[m] < 10 and rows[m] * 10 < most}
    periods.bases[place] = sorted(m for m in main if m not in strays)
    periods.strays[place] = strays
    number = {m: i for i, m in enumerate(periods.bases[place])}
    known = sorted(owner)
    periods._near[place] = (
        np.asarray(known, dtype=np.int64),
        np.asarray([number.get(owner[b], -1) for b in known], dtype=np.int64),
    )


def _variants(periods: Periods, place: str, totals: Counter[tuple[int, int, int]]) -> None:
    """Vehicles that share number and period but not `Total_Frames`; a handful of odd rows makes no vehicle."""
    found: dict[tuple[int, int], Counter[int]] = {}
    for (base, vehicle, total), rows in totals.items():
        period = int(periods.of(place, np.asarray([base]))[0])
        found.setdefault((period, vehicle), Counter())[total] += rows
    for (period, vehicle), rows_of_total in found.items():
        own = sorted(total for total, rows in rows_of_total.items() if rows >= 10)
        if len(own) > 1:
            periods.variants[place, period, vehicle] = own
