"""Reader `levelx`: the drone recordings of levelXData: highD, inD, rounD, exiD and uniD, trios of CSV files.

`NN_tracks.csv`, `NN_tracksMeta.csv` and `NN_recordingMeta.csv`, as documented at levelxdata.com. In metres, but

* highD: `x, y` is the upper left corner of the box, `width` is its extent along x, the length of the vehicle, `height` that along y, its
  width; y goes down. Vehicles of `drivingDirection` 1 (upper carriageway) drive towards smaller x. `laneId` counts lane markings from
  the top. Lanes are straight, between `upperLaneMarkings` and `lowerLaneMarkings` (`levelx_lanes`).
* the others: `xCenter, yCenter` is the centre, y goes up, relative to `xUtmOrigin, yUtmOrigin`, which are added; `heading` is in degrees
  from x towards y; pedestrians (and, in inD, bicycles) have length and width 0, that is none. exiD's `laneletId` lists all lanelets that
  overlap there (`1044;1045`): the first counts; `leadId` and `rearId` are -1 for none. Maps (lanelet2, OpenDRIVE) are not read.

Positions were smoothed over whole tracks by the publisher. So were velocities and accelerations, which are left out unless asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data.importing.pieces import ColumnsPiece, Pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tables import MISSING, Chunk, ColumnType, distinct, normal, read_table, table_header
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.data.scenario import RoadMap
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_tables.config import LevelXConfig
from twm_tables.files import find_tables, natural
from twm_tables.headings import HeadingMemory, motion_headings
from twm_tables.levelx.example import write_example
from twm_tables.levelx.lanes import highway_lanes, markings
from twm_tables.limits import Floats, Ints, check_positions, check_sizes

MOTION = ("xVelocity", "yVelocity", "xAcceleration", "yAcceleration")
HIGHD: dict[str, ColumnType] = {
    "id": "int",
    "frame": "int",
    "x": "float",
    "y": "float",
    "width": "float",
    "height": "float",
    "laneId": "int",
    "precedingId": "int",
    "followingId": "int",
}
IND: dict[str, ColumnType] = {
    "trackId": "int",
    "frame": "int",
    "xCenter": "float",
    "yCenter": "float",
    "heading": "float",
    "width": "float",
    "length": "float",
    "laneletId": "str",
    "leadId": "int",
    "rearId": "int",
}
MAY_LACK = ("laneId", "laneletId", "precedingId", "followingId", "leadId", "rearId", *MOTION)

CLASSES = {
    "car": "car",
    "van": "car",
    "truck": "truck",
    "truck_bus": "truck",
    "bus": "bus",
    "motorcycle": "motorcycle",
    "bicycle": "bicycle",
    "pedestrian": "pedestrian",
}
"""Agent types of the classes; the others (trailer, ...) are `other`."""

CITATIONS = {
    "highD": "Krajewski et al., The highD Dataset, IEEE ITSC 2018, doi:10.1109/ITSC.2018.8569552",
    "inD": "Bock et al., The inD Dataset, IEEE IV 2020, doi:10.1109/IV47402.2020.9304839",
    "rounD": "Krajewski et al., The rounD Dataset, IEEE ITSC 2020, doi:10.1109/ITSC45102.2020.9294728",
    "exiD": "Moers et al., The exiD Dataset, IEEE IV 2022, doi:10.1109/IV51971.2022.9827305",
    "uniD": "levelXData, The uniD Dataset, levelxdata.com/unid-dataset",
}


def build(config: LevelXConfig) -> LevelXReader:
    """The reader of this config."""
    return LevelXReader(config)


@dataclass(frozen=True)
class _Recording:
    """What the two small files say.

    Attributes:
        dataset: Key of `CITATIONS`.
        site: Dataset and location.
        fps: Frames per second.
        speed_limit: m/s, None where there is none.
        upper: highD: y of the markings of the upper carriageway, downwards.
        lower: Likewise, lower.
        origin: Others: UTM coordinates of (0, 0).
        types: Agent type of each track.
        directions: highD: `drivingDirection` of each track.
    """

    dataset: str
    site: str
    fps: float
    speed_limit: float | None
    upper: tuple[float, ...]
    lower: tuple[float, ...]
    origin: tuple[float, float]
    types: dict[int, int]
    directions: dict[int, int]


class LevelXReader(Reader):
    """A source, and a group, per recording."""

    def __init__(self, config: LevelXConfig) -> None:
        self.config = config
        name = "levelXData" if config.dataset == "auto" else config.dataset
        self.credits = Credits(
            name,
            config.licence or "levelXData licence: non-commercial use after registration at levelxdata.com",
            "; ".join(CITATIONS.values()) if config.dataset == "auto" else CITATIONS[config.dataset],
        )

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """A source per trio; a trio may be given by its tracks alone."""
        found = []
        endings = ("_tracks.csv", "_tracks.csv.gz")
        for path in paths:
            if path.is_file() and not path.name.endswith(endings):
                if path.name.endswith(("_tracksMeta.csv", "_recordingMeta.csv")):
                    continue  # Comes with its tracks.
                raise DataError(f"{path} is no file of levelXData", "give folders, or the files NN_tracks.csv")
        for name, path in find_tables([p for p in paths if p.is_dir() or p.name.endswith(endings)], "tracks", endings):
            number, ending = path.name.split("_tracks.csv")
            trio = [path, *(path.with_name(f"{number}_{part}.csv{ending}") for part in ("tracksMeta", "recordingMeta"))]
            trio = [p if p.is_file() else p.with_name(p.name.removesuffix(".gz")) for p in trio]
            lacking = [p.name for p in trio if not p.is_file()]
            if lacking:
                raise DataError(f"{path}: {' and '.join(lacking)} do not lie beside it", "levelXData comes in trios; get the whole trio")
            found.append(Source(name.removesuffix("_tracks"), tuple(trio)))
        return found

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        """The recording in pieces of `scenario_seconds`."""
        path, meta, about = source.files
        has = {normal(name) for name in table_header(path)}
        high, centre = {"x", "y", "id"} <= has, {"xcenter", "ycenter"} <= has
        if high == centre:
            raise DataError(
                f"{path} has the columns of {'both' if high else 'neither'} highD (id, x, y) {'and' if high else 'nor'} the other datasets"
                " (trackId, xCenter, yCenter)",
                "get the file again, or describe it with the reader columns",
            )
        info = self._info(path, meta, about, high, has)
        motion: dict[str, ColumnType] = {name: "float" for name in MOTION if self.config.publisher_motion}
        columns: dict[str, ColumnType] = {**(HIGHD if high else IND), **motion}
        lanes: set[str] = set()
        extent = 0.0
        steps = max(1, round(self.config.scenario_seconds * info.fps)) if self.config.scenario_seconds else 0
        with Pieces(path.name, steps) as pieces:
            complete = [name for name in columns if name not in MAY_LACK]
            for chunk in read_table(path, columns, optional=MAY_LACK, complete=complete):
                rows = self._checked(path, meta, chunk, info, high)
                lanes.update(str(n) for n in np.unique(rows["lane"]) if n)
                if high:
                    extent = max(extent, float((chunk["x"] + chunk["width"]).max()))
                pieces.add(0, chunk["frame"], rows)
            if not pieces.rows:
                yield Skipped({"recordings without rows": 1})
                return
            names = sorted(lanes, key=natural)
            road = highway_lanes(info.site, info.upper, info.lower, extent, info.speed_limit) if high else None
            yield from self._pieces(source, pieces, info, high, names, road)

    def _pieces(
        self, source: Source, pieces: Pieces, info: _Recording, high: bool, lanes: list[str], road: RoadMap | None
    ) -> Iterator[Recording]:
        file = source.files[0].name
        tracks, headings, seen = TrackMemory(), HeadingMemory(), set[int]()
        for piece in pieces:
            seen.update(np.unique(piece.columns["track"]).tolist())
            last = piece.number == piece.of - 1
            without = {"tracks of tracksMeta that have no rows": len(info.types.keys() - seen)} if last else {}
            rows, provenance = self._rows(file, piece, info, high, lanes, headings)
            piece.columns.clear()
            made = make_recording(
                rows,
                file=file,
                longest_gap=round(self.config.longest_gap_seconds * info.fps),
                skipped=without,
                memory=tracks,
                begin_step=piece.begin,
                id=piece.name(source.name),
                site=info.site,
                group=source.name,
                dt=1 / info.fps,
                start=piece.begin / info.fps,
                lane_names=tuple(f"{info.site}:{lane}" for lane in lanes),
                road=road,
                provenance=provenance,
            )
            del rows  # The caller may need the memory.
            yield made

    def example(self, folder: Path) -> list[Path]:
        """A recording of highD and one of exiD."""
        return write_example(folder)

    def _checked(self, path: Path, meta: Path, chunk: Chunk, info: _Recording, high: bool) -> dict[str, NDArray[Any]]:
        """The rows under names that all datasets share; as the file has them otherwise."""
        rows = dict(chunk.columns)
        rows.pop("frame")
        rows["line"] = chunk.line
        rows["track"] = rows.pop("id" if high else "trackId")
        unknown = ~np.isin(rows["track"], list(info.types))
        if unknown.any():
            at = int(np.argmax(unknown))
            raise DataError(
                f"{path}, row {chunk.line[at]}: track {rows['track'][at]} is not in {meta.name}", "get both files again, from one release"
            )
        if high:
            lane = rows.pop("laneId", np.zeros(len(chunk), dtype=np.int64))
            rows["lane"] = np.where(lane > 0, lane, 0).astype(np.str_)
            rows["lane"][lane <= 0] = ""
        else:
            unique, number = np.unique(rows.pop("laneletId", np.full(len(chunk), "")), return_inverse=True)
            first = [str(n).split(";")[0].strip().removesuffix(".0") for n in unique]
            rows["lane"] = np.asarray(["" if n == "-1" else n for n in first], dtype=np.str_)[number]
        for name, column, none in (
            ("leader", "precedingId" if high else "leadId", 0 if high else -1),
            ("follower", "followingId" if high else "rearId", 0 if high else -1),
        ):
            if column in rows:
                values = rows.pop(column)
                rows[name] = np.where(values == none, MISSING, values)
        return rows

    def _rows(
        self, file: str, piece: ColumnsPiece, info: _Recording, high: bool, lanes: list[str], headings: HeadingMemory
    ) -> tuple[Rows, dict[str, str]]:
        """The rows of a piece, y up, centres, radians."""
        columns = piece.columns
        line, track = columns["line"], columns["track"]
        unique, number = distinct(track)
        provenance = dict.fromkeys(("x", "y"), "smoothed over the whole track by the publisher")
        up = -1.0 if high else 1.0
        if high:
            x, y = columns["x"] + columns["width"] / 2, -(columns["y"] + columns["height"] / 2)
            sizes = check_sizes(file, line, {"length": columns["width"], "width": columns["height"]})
            west = np.asarray([info.directions[t] == 1 for t in unique.tolist()])[number]
            known = np.where(west, np.pi, 0.0)
            heading = motion_headings(track, piece.step + piece.begin, x, y, 1 / info.fps, known, headings)
            provenance["heading"] = "direction of motion over the last 0.5 s, held while standing; before any motion the driving direction"
        else:
            x, y = columns["xCenter"] + info.origin[0], columns["yCenter"] + info.origin[1]
            sizes = check_sizes(file, line, {"length": columns["length"], "width": columns["width"]})
            heading = wrap(np.radians(_degrees(file, line, columns["heading"])))
        check_positions(file, line, x, y)
        values: dict[str, Floats] = {"x": x, "y": y, "heading": heading, **sizes}
        if self.config.publisher_motion:
            for name, column, sign in zip(("vx", "vy", "ax", "ay"), MOTION, (1.0, up, 1.0, up), strict=True):
                if column in columns:
                    values[name] = sign * columns[column]
                    provenance[name] = "smoothed by the publisher with later positions, taken because publisher_motion asks for it"
        code = {lane: i for i, lane in enumerate(("", *lanes))}
        names, which = distinct(columns["lane"])
        rows = Rows(
            track=track,
            step=piece.step,
            columns=values,
            type=np.asarray([info.types[t] for t in unique.tolist()], dtype=np.int64)[number],
            lane=np.asarray([code[str(n)] for n in names], dtype=np.int64)[which] if lanes else None,
            leader=columns.get("leader"),
            follower=columns.get("follower"),
            no_track=MISSING,
            line=line,
        )
        return rows, provenance

    def _info(self, path: Path, meta: Path, about: Path, high: bool, has: set[str]) -> _Recording:
        dataset = self._dataset(path, high, has)
        row = _only_row(about, high)
        types, directions = _tracks(meta, high)
        fps = float(row["frameRate"][0])
        if not 0 < fps <= 1000:
            raise DataError(f"{about}, row {row.line[0]}, column 'frameRate': {fps:g} frames per second are impossible", "repair the file")
        limit = float(row["speedLimit"][0]) if "speedLimit" in row else -1.0
        return _Recording(
            dataset=dataset,
            site=self.config.site or f"{dataset}-{row['locationId'][0]}",
            fps=fps,
            speed_limit=limit if limit > 0 else None,
            upper=markings(about, row, "upperLaneMarkings") if high else (),
            lower=markings(about, row, "lowerLaneMarkings") if high else (),
            origin=(_given(row, "xUtmOrigin"), _given(row, "yUtmOrigin")),
            types=types,
            directions=directions,
        )

    def _dataset(self, path: Path, high: bool, has: set[str]) -> str:
        """Which dataset the file is of."""
        asked = self.config.dataset
        if asked != "auto":
            if (asked == "highD") != high:
                raise DataError(
                    f"{path} has the columns of {'highD' if high else 'inD, rounD, exiD and uniD'}, not of {asked}",
                    "leave --reader.dataset out",
                )
            return asked
        if high:
            return "highD"
        if "laneletid" in has or "leadid" in has:
            return "exiD"
        for part in reversed(path.resolve().parts):
            named = [d for d in CITATIONS if d != "highD" and d.casefold() in part.casefold()]
            if len(named) == 1:
                return named[0]
        raise DataError(
            f"{path}: the columns are those of inD, rounD and uniD alike",
            "say which it is, as in --reader.dataset inD, or name the folder so",
        )


def _degrees(file: str, line: Ints, values: Floats) -> Floats:
    bad = np.abs(values) > 720
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(f"{file}, row {int(line[at])}, column 'heading': {values[at]:g} degrees are impossible", "repair the row")
    return values


def _only_row(about: Path, high: bool) -> Chunk:
    columns: Mapping[str, ColumnType] = {
        "frameRate": "float",
        "locationId": "int",
        "speedLimit": "float",
        "upperLaneMarkings": "str",
        "lowerLaneMarkings": "str",
        "xUtmOrigin": "float",
        "yUtmOrigin": "float",
    }
    optional = ["speedLimit", "xUtmOrigin", "yUtmOrigin", *(() if high else ("upperLaneMarkings", "lowerLaneMarkings"))]
    rows = list(read_table(about, columns, optional=optional, complete=("frameRate", "locationId")))
    if sum(map(len, rows)) != 1:
        raise DataError(f"{about} has {sum(map(len, rows))} rows where it should have one", "get the file again")
    return rows[0]


def _given(row: Chunk, name: str) -> float:
    """The value in the only row, 0 where there is none."""
    return float(np.nan_to_num(row[name][0])) if name in row else 0.0


def _tracks(meta: Path, high: bool) -> tuple[dict[int, int], dict[int, int]]:
    """Agent types and, in highD, driving directions of the tracks."""
    key = "id" if high else "trackId"
    columns: dict[str, ColumnType] = {key: "int", "class": "str"}
    if high:
        columns["drivingDirection"] = "int"
    types: dict[int, int] = {}
    directions: dict[int, int] = {}
    for chunk in read_table(meta, columns, complete=[n for n in columns if n != "class"]):
        for i, track in enumerate(chunk[key].tolist()):
            if track in types:
                raise DataError(f"{meta}, row {chunk.line[i]}: track {track} stands there twice", "remove one of the rows")
            word = str(chunk["class"][i]).casefold()
            types[track] = AGENT_TYPES.index(CLASSES.get(word, "other") if word else "unknown")
            if high:
                directions[track] = int(chunk["drivingDirection"][i])
                if directions[track] not in (1, 2):
                    raise DataError(
                        f"{meta}, row {chunk.line[i]}, column 'drivingDirection': {directions[track]} is neither 1 nor 2", "repair the row"
                    )
    return types, directions
