"""Reader `ngsim`: trajectories of the Next Generation Simulation programme, in feet at 10 Hz.

Positions are the middle of the front bumper. Local coordinates have `Local_Y` along the road and `Local_X` to the right of its left edge
(on arterials, north and east), so here x = 0.3048 Local_Y and y = -0.3048 Local_X; global ones are state-plane feet, x east and y
north. The centre of a vehicle lies half its length back along its heading, which is the direction of its motion over the last half
second (`headings`); before it has moved, that of its `Direction`, or of the road. `v_Vel` and `v_Acc` were smoothed with later positions
and are left out unless asked for. Numbers of vehicles mean something within one period only (`ngsim_table`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.pieces import ColumnsPiece, Pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tables import MISSING, Chunk, distinct
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.data.scenario import RoadMap
from twm_core.errors import DataError, UsageError
from twm_core.specs import AGENT_TYPES
from twm_tables.config import NgsimConfig
from twm_tables.files import find_tables
from twm_tables.headings import HeadingMemory, motion_headings, to_centre
from twm_tables.limits import Floats, Ints, check_positions, check_sizes
from twm_tables.ngsim.example import write_example
from twm_tables.ngsim.road import FOOT, read_road, road_files
from twm_tables.ngsim.table import COLUMNS, MILLISECONDS, UNUSED, Layout, Periods, find_periods, layout_of, places, rows_of, site_of

DT = MILLISECONDS / 1000
CLASSES = {1: "motorcycle", 2: "car", 3: "truck"}
EAST, NORTH, WEST, SOUTH = 1, 2, 3, 4
"""Values of `Direction`."""


def build(config: NgsimConfig) -> NgsimReader:
    """The reader of this config."""
    return NgsimReader(config)


class NgsimReader(Reader):
    """One source per file; periods of recording are groups."""

    def __init__(self, config: NgsimConfig) -> None:
        self.config = config
        self.credits = Credits(
            "NGSIM",
            config.licence or "open data of the US Department of Transportation",
            "U.S. Department of Transportation Federal Highway Administration (2016), Next Generation Simulation (NGSIM) Vehicle"
            " Trajectories and Supporting Data, doi:10.21949/1504477",
        )
        if config.road and config.coordinates == "local":
            raise UsageError("road needs state-plane coordinates", "add --reader.coordinates global")

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """A source per table; files of a road count as part of each."""
        roads: tuple[Path, ...] = ()
        if self.config.road:
            road = self.config.road
            roads = (road,) if road.is_file() else tuple(sorted(road.glob("*.txt")))
        tables = [(n, p) for n, p in find_tables(paths, "NGSIM tables") if not p.name.startswith(("centerlines", "boundaries"))]
        if not tables:
            raise DataError(f"{', '.join(map(str, paths))}: only files of roads", "give trajectories, and these as road")
        return [Source(name, (path, *roads)) for name, path in tables]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        """Every period in pieces of `scenario_seconds`."""
        path = source.files[0]
        layout = layout_of(path)
        site = self.config.site or site_of(path)
        periods = find_periods(path, layout, site)
        skipped = Counter[str]()
        steps = max(1, round(self.config.scenario_seconds / DT)) if self.config.scenario_seconds else 0
        with Pieces(path.name, steps) as pieces:
            lanes, road_angle = self._gather(path, layout, site, periods, pieces, skipped)
            if not pieces.rows:
                yield Skipped({**skipped, "tables without rows": 1})
                return
            names = list(periods.bases)
            roads: dict[str, RoadMap | None] = {}
            tracks: dict[Any, tuple[TrackMemory, HeadingMemory]] = {}
            for piece in pieces:
                place = names[int(piece.group) // 1000]
                period = int(piece.group) % 1000
                where = self.config.site or place
                if where not in roads:
                    roads[where] = read_road(road_files(self.config.road, place)) if self.config.road else None
                memory, headings = tracks.setdefault(piece.group, (TrackMemory(), HeadingMemory()))
                group = f"{source.name}/{place}-{period + 1}"
                rows, provenance = self._rows(path, piece, place, period, periods, lanes, road_angle.get(place, 0.0), headings)
                piece.columns.clear()
                made = make_recording(
                    rows,
                    file=path.name,
                    longest_gap=round(self.config.longest_gap_seconds / DT),
                    contradictions="first",
                    skipped=skipped,
                    memory=memory,
                    begin_step=piece.begin,
                    id=piece.name(group),
                    site=where,
                    group=group,
                    dt=DT,
                    start=piece.begin * DT,
                    lane_names=tuple(_lane_name(where, code) for code in lanes),
                    road=roads[where],
                    provenance=provenance,
                )
                del rows  # The caller may need the memory.
                yield made
                skipped = Counter()  # Counted once.

    def example(self, folder: Path) -> list[Path]:
        """The combined CSV with two periods."""
        return write_example(folder)

    def _gather(
        self, path: Path, layout: Layout, site: str, periods: Periods, pieces: Pieces, skipped: Counter[str]
    ) -> tuple[list[int], dict[str, float]]:
        """Set all rows aside; the codes of all lanes, and the direction of the road at each place in the frame that was asked for."""
        drop = {*UNUSED, *(() if self.config.publisher_motion else ("v_Vel", "v_Acc"))}
        drop |= {"Global_X", "Global_Y"} if self.config.coordinates == "local" else set()
        wanted = tuple(name for name in COLUMNS if name not in drop)
        lanes: set[int] = set()
        sums: dict[str, _Fit] = {}
        names = list(periods.bases)
        for chunk in rows_of(path, layout, wanted):
            lacking = [n for n in ("Global_X", "Global_Y") if n not in chunk]
            if lacking and self.config.coordinates == "global":
                raise DataError(f"{path} has no column {', '.join(lacking)}", "leave --reader.coordinates out")
            base = chunk["Global_Time"] - MILLISECONDS * chunk["Frame_ID"]
            for place, where in places(chunk, site):
                period = periods.of(place, base[where])
                keep = period >= 0
                skipped["rows whose Frame_ID and Global_Time do not belong together"] += int((~keep).sum())
                rows = {name: values[where][keep] for name, values in chunk.columns.items() if name not in ("Location", "Frame_ID")}
                period, line = period[keep], chunk.line[where][keep]
                if not len(line):
                    continue
                lane = _lane_codes(chunk, where)[keep]
                lanes.update(np.unique(lane[lane > 0]).tolist())
                zero = np.asarray(periods.bases[place], dtype=np.int64)[period]
                step = np.rint((rows.pop("Global_Time") - zero) / MILLISECONDS).astype(np.int64)
                for name in ("Int_ID", "Section_ID", "Lane_ID"):
                    rows.pop(name, None)
                if self.config.coordinates == "global":
                    self._check_global(path, rows, line)
                    sums.setdefault(place, _Fit()).add(rows)
                for name in ("Direction", "Preceding", "Following", "Total_Frames", "v_Class"):
                    rows.setdefault(name, np.full(len(line), MISSING))
                pieces.add(names.index(place) * 1000 + period, step, {**rows, "lane": lane, "line": line})
        return sorted(lanes), {place: fit.angle for place, fit in sums.items()}

    def _check_global(self, path: Path, rows: dict[str, NDArray[Any]], line: Ints) -> None:
        bad = ~(np.isfinite(rows["Global_X"]) & np.isfinite(rows["Global_Y"]))
        if bad.any():
            raise DataError(
                f"{path}, row {int(line[np.argmax(bad)])}: no global coordinates ({int(bad.sum())} such rows)",
                "leave --reader.coordinates out",
            )

    def _rows(
        self,
        path: Path,
        piece: ColumnsPiece,
        place: str,
        period: int,
        periods: Periods,
        lanes: list[int],
        road_angle: float,
        headings: HeadingMemory,
    ) -> tuple[Rows, dict[str, str]]:
        """The rows of a piece in metres, and what was done to them."""
        columns = piece.columns
        track, line = columns["Vehicle_ID"], columns["line"]
        if self.config.coordinates == "local":
            front_x, front_y = columns["Local_Y"] * FOOT, -columns["Local_X"] * FOOT
        else:
            front_x, front_y = columns["Global_X"] * FOOT, columns["Global_Y"] * FOOT
        check_positions(path.name, line, front_x, front_y)
        sizes = check_sizes(path.name, line, {"length": columns["v_Length"] * FOOT, "width": columns["v_Width"] * FOOT})
        names, own = _own_names(track, columns["Total_Frames"], place, period, periods)
        heading = motion_headings(
            own, piece.step + piece.begin, front_x, front_y, DT, self._known(columns["Direction"], road_angle), headings
        )
        x, y = to_centre(front_x, front_y, heading, sizes["length"])
        values: dict[str, Floats] = {"x": x, "y": y, "heading": heading, **sizes}
        provenance = {
            "x": "front bumper, moved back by half the length along the heading",
            "y": "front bumper, moved back by half the length along the heading",
            "heading": "direction of motion over the last 0.5 s, held while standing; before any motion that of the road",
        }
        if self.config.publisher_motion:
            speed, gain = columns["v_Vel"] * FOOT, columns["v_Acc"] * FOOT
            values |= {"vx": speed * np.cos(heading), "vy": speed * np.sin(heading)}
            values |= {"ax": gain * np.cos(heading), "ay": gain * np.sin(heading)}
            provenance |= dict.fromkeys(
                ("vx", "vy", "ax", "ay"), "smoothed by the publisher with later positions, taken because publisher_motion asks for it"
            )
        code = np.asarray([0, *lanes], dtype=np.int64)
        return (
            Rows(
                track=names,
                step=piece.step,
                columns=values,
                type=_types(columns["v_Class"]),
                lane=np.searchsorted(code, columns["lane"]).astype(np.int64),
                leader=_neighbours(columns["Preceding"], names),
                follower=_neighbours(columns["Following"], names),
                no_track="0" if names.dtype.kind == "U" else 0,
                line=line,
            ),
            provenance,
        )

    def _known(self, direction: Ints, road_angle: float) -> Floats:
        """Heading before any motion."""
        turn = 0.0 if self.config.coordinates == "global" else -np.pi / 2  # Local x points north on arterials.
        known = np.full(len(direction), road_angle)
        for value, angle in ((EAST, 0.0), (NORTH, np.pi / 2), (WEST, np.pi), (SOUTH, -np.pi / 2)):
            known[direction == value] = angle + turn
        return known


class _Fit:
    """Direction of `Local_Y` in the state plane: the rotation that fits local to global coordinates best, as complex numbers."""

    def __init__(self) -> None:
        self.zero: tuple[complex, complex] | None = None
        self.rows, self.local, self.there, self.product = 0, 0j, 0j, 0j

    def add(self, rows: dict[str, NDArray[Any]]) -> None:
        here, there = rows["Local_Y"] - 1j * rows["Local_X"], rows["Global_X"] + 1j * rows["Global_Y"]
        if self.zero is None:
            self.zero = (complex(here[0]), complex(there[0]))
        here, there = here - self.zero[0], there - self.zero[1]
        self.rows += len(here)
        self.local += complex(here.sum())
        self.there += complex(there.sum())
        self.product += complex((there * here.conj()).sum())

    @property
    def angle(self) -> float:
        return float(np.angle(self.product - self.there * self.local.conjugate() / self.rows))


def _types(kinds: Ints) -> Ints:
    unique, number = distinct(kinds)
    return np.asarray([AGENT_TYPES.index(CLASSES.get(k, "unknown")) for k in unique.tolist()], dtype=np.int64)[number]


def _own_names(track: Ints, total: Ints, place: str, period: int, periods: Periods) -> tuple[NDArray[Any], Ints]:
    """Names of vehicles, and a number for each. Where several vehicles have the number 7, the later ones are `7/884`, with their
    `Total_Frames`, and have negative numbers, the same in every piece."""
    shared = [(vehicle, totals) for (p, n, vehicle), totals in periods.variants.items() if (p, n) == (place, period)]
    if not shared:
        return track, track
    number, names = track.copy(), track.astype(np.str_).astype("U48")
    for vehicle, totals in shared:
        for own in totals[1:]:
            here = (track == vehicle) & (total == own)
            names[here] = f"{vehicle}/{own}"
            number[here] = -(vehicle * 1_000_000 + own)
    return names, number


def _neighbours(values: Ints, names: NDArray[Any]) -> NDArray[Any]:
    """Names of neighbours; 0 for none, as the files have it, and for what they leave empty."""
    values = np.where(values > 0, values, 0)
    return values.astype(np.str_) if names.dtype.kind == "U" else values


def _lane_codes(chunk: Chunk, where: Any) -> Ints:
    """A number for the lane of each row: freeways have `Lane_ID` alone, arterials repeat it by crossing, section and direction."""
    if "Lane_ID" not in chunk:
        return np.zeros(len(chunk.line[where]), dtype=np.int64)
    code = np.zeros(len(chunk.line[where]), dtype=np.int64)
    for name in ("Int_ID", "Section_ID", "Direction"):
        code = code * 1000 + (np.clip(chunk[name][where], 0, 999) if name in chunk else 0)
    lane = np.clip(chunk["Lane_ID"][where], 0, 999)
    return np.where(lane > 0, code * 1000 + lane, 0)


def _lane_name(site: str, code: int) -> str:
    """`us-101:3`, or `peachtree:section1-2:11` with section (or crossing) and direction."""
    crossing, section, direction, lane = code // 10**9, code // 10**6 % 1000, code // 1000 % 1000, code % 1000
    part = f"crossing{crossing}-{direction}:" if crossing else f"section{section}-{direction}:" if section or direction else ""
    return f"{site}:{part}{lane}"
