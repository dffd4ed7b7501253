"""Reader `drone-csv`: clips of a drone as CSV, oriented boxes in pixels, in folders per site.

The format is that of the DRIFT open dataset (Lee et al. 2025, arXiv 2504.11019): one file per clip and columns `track_id, frame,
center_x, center_y, width, height, angle, x1 .. y4, confidence, class_id, site, lane, preceding_id, following_id, timestamp`, of which
those after `angle` may be missing. A picture has x to the right and y down, and `angle` turns x towards y; here y goes up, so y and
angle change their signs. `width` is the side along `angle`. A box says along which axis a vehicle stands, not which end is its front:
that is what lies nearer to its motion so far, and until it has moved the box's own side. A track's class is what most of its rows say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.pieces import ColumnsPiece, Pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tables import MISSING, Chunk, ColumnType, distinct, read_table
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.errors import DataError, UsageError
from twm_core.specs import AGENT_TYPES
from twm_tables.clock import seconds_of
from twm_tables.config import DroneCsvConfig
from twm_tables.drone_example import write_example
from twm_tables.files import find_tables, natural
from twm_tables.headings import HeadingMemory, along_axis, motion_headings
from twm_tables.limits import Ints, check_positions, check_sizes
from twm_tables.scales import Scale, find_scales, read_scales

CORNERS = ("x1", "y1", "x2", "y2")
COLUMNS: dict[str, ColumnType] = {
    "track_id": "int",
    "frame": "int",
    "center_x": "float",
    "center_y": "float",
    "width": "float",
    "height": "float",
    "angle": "float",
    "x1": "float",
    "y1": "float",
    "x2": "float",
    "y2": "float",
    "confidence": "float",
    "class_id": "int",
    "site": "str",
    "lane": "str",
    "preceding_id": "int",
    "following_id": "int",
}
NEEDED = ("track_id", "frame", "center_x", "center_y", "width", "height", "angle")
OPTIONAL = tuple(name for name in COLUMNS if name not in NEEDED)


def build(config: DroneCsvConfig) -> DroneCsvReader:
    """The reader of this config."""
    return DroneCsvReader(config)


@dataclass
class _Clip:
    """What is gathered while the rows of a clip stream by."""

    skipped: Counter[str] = field(default_factory=Counter)
    site: str | None = None
    degrees: bool | None = None
    classes: Counter[tuple[int, int]] = field(default_factory=Counter)
    lanes: set[str] = field(default_factory=set)
    from_zero: bool = False
    neighbours: bool = False


class DroneCsvReader(Reader):
    """Clips are groups: a track number means another vehicle in every clip."""

    def __init__(self, config: DroneCsvConfig) -> None:
        self.config = config
        self.credits = Credits(
            "drone clips (CSV)",
            config.licence or "the owner's; the DRIFT open dataset: see its repository",
            "for the DRIFT open dataset: Lee et al., DRIFT open dataset: A drone-derived intelligence for traffic analysis in urban"
            " environment, arXiv 2504.11019, 2025",
        )
        unknown = {c: t for c, t in config.classes.items() if t not in AGENT_TYPES or not c.lstrip("-").isdigit()}
        if unknown:
            raise UsageError(f"classes: {unknown} do not map a class_id to an agent type", f"the types are {', '.join(AGENT_TYPES)}")
        self.types = {int(c): AGENT_TYPES.index(t) for c, t in config.classes.items()}

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """A source per clip, with the file of scales; clips of one site in the order of their numbers."""
        scales = self.config.sites or find_scales(paths)
        extra = () if scales is None or self.config.metres_per_pixel else (scales,)
        return [Source(name, (path, *extra)) for name, path in find_tables(paths, "clips")]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        """The clip in pieces of `scenario_seconds`."""
        path = source.files[0]
        scales = read_scales(source.files[1]) if len(source.files) > 1 else {}
        clip = _Clip()
        fps = self.config.fps
        rates = {scale.fps for scale in scales.values() if scale.fps}
        if rates and not self.config.metres_per_pixel:
            fps = self._scale(path, self._first_site(path), scales, source).fps or fps
        steps = max(1, round(self.config.scenario_seconds * fps)) if self.config.scenario_seconds else 0
        with Pieces(path.name, steps) as pieces:
            for chunk in read_table(path, COLUMNS, optional=OPTIONAL, complete=NEEDED):
                self._take(path, chunk, clip, pieces)
            if not pieces.rows:
                yield Skipped({**clip.skipped, "clips without rows": 1})
                return
            scale = self._scale(path, self._site(path, clip), scales, source)
            site = self.config.site or self._site(path, clip)
            start = seconds_of(path, frame="frame", time="timestamp", fps=fps)
            lanes = sorted(clip.lanes, key=natural)
            types = self._types(clip)
            tracks, headings = TrackMemory(), HeadingMemory()
            for piece in pieces:
                rows = self._rows(path, piece, clip, scale, fps, types, lanes, headings)
                piece.columns.clear()
                made = make_recording(
                    rows,
                    file=path.name,
                    longest_gap=round(self.config.longest_gap_seconds * fps),
                    skipped=clip.skipped,
                    memory=tracks,
                    begin_step=piece.begin,
                    id=piece.name(source.name),
                    site=site,
                    group=source.name,
                    dt=1 / fps,
                    start=start + piece.begin / fps,
                    lane_names=tuple(f"{site}:{lane}" for lane in lanes),
                    provenance={"heading": "axis of the box; its front is the end nearer to the motion so far, unknown before any motion"},
                )
                del rows  # The caller may need the memory.
                yield made
                clip.skipped = Counter()  # Counted once.

    def example(self, folder: Path) -> list[Path]:
        """Two clips of a site with their scale."""
        return write_example(folder)

    def _take(self, path: Path, chunk: Chunk, clip: _Clip, pieces: Pieces) -> None:
        """Check the rows of a chunk and set aside those that count."""
        self._take_site(path, chunk, clip)
        if clip.degrees is None:
            clip.degrees = self._in_degrees(path, chunk)
        limit = 720.0 if clip.degrees else 2 * math.pi + 1e-3
        wild = np.abs(chunk["angle"]) > limit
        if wild.any():
            at = int(np.argmax(wild))
            unit = "degrees" if clip.degrees else "radians"
            raise DataError(
                f"{path}, row {chunk.line[at]}, column 'angle': {chunk['angle'][at]:g} {unit} are impossible ({int(wild.sum())} such rows)",
                "repair the row" if clip.degrees else "if the file has degrees, say --reader.angle degrees",
            )
        early = chunk["frame"] < 0
        if early.any():
            at = int(np.argmax(early))
            raise DataError(f"{path}, row {chunk.line[at]}, column 'frame': {chunk['frame'][at]} is before the clip", "repair the row")
        keep = np.ones(len(chunk), dtype=bool)
        if "confidence" in chunk and self.config.confidence > 0:
            keep &= ~(chunk["confidence"] < self.config.confidence)  # A missing confidence is no low one.
            clip.skipped[f"rows with a confidence below {self.config.confidence:g}"] += int((~keep).sum())
        rows = {name: chunk[name][keep] for name in ("track_id", "center_x", "center_y", "width", "height", "angle")}
        rows["line"] = chunk.line[keep]
        for name in ("preceding_id", "following_id"):
            if name in chunk:
                clip.neighbours = True
                rows[name] = chunk[name][keep]
        if "lane" in chunk:
            rows["lane"] = _lane_names(chunk["lane"][keep])
            clip.lanes.update(str(lane) for lane in distinct(rows["lane"])[0] if lane)
        clip.from_zero |= bool((rows["track_id"] == 0).any())
        if "class_id" in chunk:
            rows["class_id"] = chunk["class_id"][keep]
            pairs = np.stack([rows["track_id"], rows["class_id"]], axis=1)
            begins = np.flatnonzero(np.append(True, (np.diff(pairs, axis=0) != 0).any(axis=1)))[: len(pairs)]  # Rows mostly stand by track.
            for (track, kind), n in zip(pairs[begins].tolist(), np.diff(np.append(begins, len(pairs))).tolist(), strict=True):
                clip.classes[track, kind] += n
        pieces.add(0, chunk["frame"][keep], rows)

    def _take_site(self, path: Path, chunk: Chunk, clip: _Clip) -> None:
        if "site" not in chunk:
            return
        known = chunk["site"] != ""
        if clip.site is None and known.any():
            clip.site = str(chunk["site"][np.argmax(known)])
        other = known & (chunk["site"] != clip.site)
        if other.any():
            at = int(np.argmax(other))
            raise DataError(
                f"{path}, row {chunk.line[at]}, column 'site': {str(chunk['site'][at])!r} in a clip of {clip.site!r}",
                "one file per clip and site",
            )

    def _first_site(self, path: Path) -> str:
        clip = _Clip()
        for chunk in read_table(path, {"track_id": "int", "site": "str"}, optional=("site",)):
            self._take_site(path, chunk, clip)
            break
        return self._site(path, clip)

    def _site(self, path: Path, clip: _Clip) -> str:
        """The site as the files have it: the column, or the folder. Scales go by it, whatever the options call the site."""
        name = clip.site or path.resolve().parent.name or "site"
        word, _, rest = name.replace("_", " ").partition(" ")
        return rest.strip() if word.casefold() == "site" and rest.strip() else name

    def _scale(self, path: Path, site: str, scales: Mapping[str, Scale], source: Source) -> Scale:
        if self.config.metres_per_pixel:
            return Scale(self.config.metres_per_pixel)
        known = {name.casefold(): scale for name, scale in scales.items()}
        for name in (site, f"site {site}", self.config.site):
            if name.casefold() in known:
                return known[name.casefold()]
        where = f" in {source.files[1]} (it has {', '.join(scales) or 'none'})" if len(source.files) > 1 else ""
        raise DataError(
            f"{path}: the size of a pixel at site {site!r} is not known{where}",
            f'give --reader.metres_per_pixel, or one per site in sites.toml: ["{site}"], metres_per_pixel = 0.05',
        )

    def _in_degrees(self, path: Path, chunk: Chunk) -> bool:
        """Whether `angle` is in degrees: as the options say, as the first side of the boxes shows, or because radians end at 2 pi."""
        if self.config.angle != "auto":
            return self.config.angle == "degrees"
        angle = chunk["angle"]
        if (np.abs(angle) > 2 * math.pi + 1e-3).any():
            return True
        if all(name in chunk for name in CORNERS):
            side = np.arctan2(chunk["y2"] - chunk["y1"], chunk["x2"] - chunk["x1"])
            # Sides stand at right angles, so four times the angle is the same for all of them.
            radians, degrees = (np.cos(4 * (side - unit)) for unit in (angle, np.radians(angle)))
            known = np.isfinite(radians)
            if known.any():
                return bool(degrees[known].mean() > radians[known].mean() + 1e-6)
        return False

    def _types(self, clip: _Clip) -> dict[int, tuple[int, int]]:
        """Class and agent type of each track; the smaller class where two are equally frequent. Missing classes do not vote."""
        best: dict[int, tuple[int, int]] = {}  # track: (rows, class)
        for (track, kind), rows in clip.classes.items():
            if kind != MISSING and (track not in best or (rows, -kind) > (best[track][0], -best[track][1])):
                best[track] = (rows, kind)
        other = AGENT_TYPES.index("other")
        for (track, kind), rows in clip.classes.items():
            if kind != MISSING and kind != best[track][1]:
                clip.skipped["classes of rows that differ from most of their track"] += rows
        return {track: (kind, self.types.get(kind, other)) for track, (_, kind) in best.items()}

    def _rows(
        self,
        path: Path,
        piece: ColumnsPiece,
        clip: _Clip,
        scale: Scale,
        fps: float,
        types: Mapping[int, tuple[int, int]],
        lanes: Sequence[str],
        headings: HeadingMemory,
    ) -> Rows:
        """The rows of a piece in metres and radians, y up."""
        columns, size = piece.columns, scale.metres_per_pixel
        track, line = columns["track_id"], columns["line"]
        x, y = columns["center_x"] * size, -columns["center_y"] * size
        check_positions(path.name, line, x, y)
        sides = check_sizes(path.name, line, {"width": columns["width"] * size, "height": columns["height"] * size})
        axis = -(np.radians(columns["angle"]) if clip.degrees else columns["angle"])
        side = self.config.length_side
        upright = sides["height"] > sides["width"] if side == "longer" else np.full(len(x), side == "height")
        axis = np.where(upright, axis + np.pi / 2, axis)
        direction = motion_headings(track, piece.step + piece.begin, x, y, 1 / fps, np.full(len(x), np.nan), headings)
        code = {lane: i for i, lane in enumerate(("", *lanes))}
        names, which = distinct(columns["lane"]) if "lane" in columns else (None, None)
        unique, number = distinct(track)
        return Rows(
            track=track,
            step=piece.step,
            columns={
                "x": x,
                "y": y,
                "heading": along_axis(axis, direction),
                "length": np.where(upright, sides["height"], sides["width"]),
                "width": np.where(upright, sides["width"], sides["height"]),
            },
            type=np.asarray([types.get(t, (0, 0))[1] for t in unique.tolist()], dtype=np.int64)[number],
            lane=None if names is None else np.asarray([code[str(n)] for n in names], dtype=np.int64)[which],
            leader=_neighbours(columns.get("preceding_id"), clip.from_zero),
            follower=_neighbours(columns.get("following_id"), clip.from_zero),
            no_track=MISSING,
            line=line,
        )


def _neighbours(values: NDArray[Any] | None, from_zero: bool) -> Ints | None:
    """Neighbours with `MISSING` for none: empty, negative, and 0 where no track has that number."""
    return None if values is None else np.where(values < (0 if from_zero else 1), MISSING, values)


def _lane_names(lanes: NDArray[Any]) -> NDArray[Any]:
    """Names of lanes, `3.0` as `3`, and nothing for 0, which means that the lane is not known."""
    names, which = distinct(lanes)
    plain = [str(n).removesuffix(".0") for n in names]
    return np.asarray(["" if n in ("0", "-1") else n for n in plain], dtype=np.str_)[which]
