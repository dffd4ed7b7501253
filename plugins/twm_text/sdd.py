"""The reader `sdd`: Stanford Drone Dataset, boxes in drone videos of eight places of a campus, 30 Hz.

One line a box: `track xmin ymin xmax ymax frame lost occluded generated "label"`, pixels of the video, y down. A file is
`<scene>/video<n>/annotations.txt`; metres per pixel of each video are in `estimated_scales.yaml`.

    x = s (xmin + xmax) / 2        y = -s (ymin + ymax) / 2        s metres per pixel
    length, width = s times the longer and the shorter side of the box

The sides are those of an upright box around the agent, not of the agent: the width is never too small, the length is between 0.7 of the
true one and too large. Rows marked lost (out of sight) or occluded are left out and counted; so an agent that is hidden for a
while has a hole, and one that is away for longer than `LONGEST_GAP` is a new track.

Boxes marked `generated` were interpolated between key frames that a person annotated, often 1 s apart and up to 10 s: they know the future
up to the next key frame. They are `INTERPOLATED`, and a prediction may start only where nobody's box is (`anchors`), which is almost
nowhere. Published tables ignore this; `trust_interpolation` does so too, and the provenance says so.

Format: README of the dataset, as in https://github.com/crowdbotp/OpenTraj/tree/master/datasets/SDD
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.files import find_above, find_files
from twm_core.data.importing.pieces import RowsPiece, pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tables import WHITESPACE, ColumnType, read_table
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.data.scenario import INTERPOLATED, OBSERVED
from twm_core.errors import DataError
from twm_core.extras import need
from twm_core.specs import AGENT_TYPES
from twm_text.config import SddConfig

COLUMNS: dict[str, ColumnType] = {
    "track": "int",
    "xmin": "float",
    "ymin": "float",
    "xmax": "float",
    "ymax": "float",
    "frame": "int",
    "lost": "int",
    "occluded": "int",
    "generated": "int",
    "label": "str",
}
"""What a line holds, in order."""

SIDES = ("xmin", "ymin", "xmax", "ymax")
FLAGS = ("lost", "occluded", "generated")

LABELS = {"Pedestrian": "pedestrian", "Biker": "bicycle", "Skater": "other", "Cart": "other", "Car": "car", "Bus": "bus"}
"""Types of agents by label; a cart is a golf cart."""

SCALES = "estimated_scales.yaml"
"""File with the metres per pixel, scene by scene and video by video."""

LONGEST_GAP = 5.0
"""Seconds that an agent may be away and still be the same track."""


def build(config: SddConfig) -> SddReader:
    """The reader."""
    return SddReader(config)


class SddReader(Reader):
    """Reads annotations of the Stanford Drone Dataset."""

    credits = Credits(
        dataset="Stanford Drone Dataset",
        licence="CC BY-NC-SA 3.0",
        citation="A. Robicquet, A. Sadeghian, A. Alahi, S. Savarese: Learning Social Etiquette, ECCV 2016",
    )

    def __init__(self, config: SddConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        what = "SDD annotations (<scene>/video<n>/annotations.txt)"
        found = find_files(paths, lambda path: path.name == "annotations.txt", what=what)
        sources = []
        for _, path in found:
            scales = find_above(path, SCALES)
            files = (path,) if scales is None or self.config.metres_per_pixel else (path, scales)
            scene, video = _place(path)
            sources.append(Source(f"{scene}_{video}", files))
        for name, n in Counter(source.name for source in sources).items():
            if n > 1:
                both = " and ".join(str(s.files[0]) for s in sources if s.name == name)
                raise DataError(f"{both} are both {name}", "give each video once, in folders <scene>/video<n>")
        return sources

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        path, config = source.files[0], self.config
        whose = f"{source.name}/{path.name}"
        scale = config.metres_per_pixel or scale_of(source.files[1:], *_place(path), whose=whose)
        dt = config.every / config.fps
        skipped: Counter[str] = Counter()
        memory = TrackMemory()
        for piece in pieces(self._rows(path, whose), file=whose, dt=1 / config.fps, scenario_seconds=config.scenario_seconds):
            rows, begin, free = self._kept(piece, scale, skipped)
            if not len(rows.step):
                continue
            yield make_recording(
                rows,
                file=whose,
                longest_gap=round(LONGEST_GAP / dt),
                memory=memory,
                begin_step=begin,
                id=piece.name(source.name),
                site=config.site or source.name,
                group=source.name,
                start=begin * dt,
                dt=dt,
                anchors=None if config.trust_interpolation else free,
                provenance=_provenance(config),
            )
        yield Skipped({reason: n for reason, n in skipped.items() if n})

    def _rows(self, path: Path, whose: str) -> Iterator[tuple[int, Rows]]:
        """All rows as they are, in pixels and frames."""
        kind = {label: AGENT_TYPES.index(name) for label, name in LABELS.items()}
        empty = True
        for chunk in read_table(path, COLUMNS, complete=tuple(COLUMNS), delimiter=WHITESPACE, header=tuple(COLUMNS)):
            empty = False
            _check(chunk.columns, chunk.line, whose)
            columns = {name: chunk[name].astype(np.float64) for name in (*SIDES, *FLAGS)}
            label = np.asarray([kind[label] for label in chunk["label"].tolist()], dtype=np.int64)
            yield 0, Rows(track=chunk["track"], step=chunk["frame"], columns=columns, type=label, line=chunk.line)
        if empty:
            raise DataError(f"{whose} holds no rows", "leave the video out")

    def _kept(self, piece: RowsPiece, scale: float, skipped: Counter[str]) -> tuple[Rows, int, NDArray[np.bool_]]:
        """The rows of a piece that are kept, in metres and steps; its first step; and its anchors. What is left out is counted."""
        rows, c, every = piece.rows, piece.rows.columns, self.config.every
        frame = piece.begin + rows.step
        lost, occluded, other = c["lost"] == 1, c["occluded"] == 1, frame % every != 0
        skipped["boxes between the frames that are kept (every)"] += int(other.sum())
        skipped["boxes marked lost"] += int((lost & ~other).sum())
        skipped["boxes marked occluded"] += int((occluded & ~lost & ~other).sum())
        keep = ~(lost | occluded | other)
        step = frame[keep] // every
        begin = int(step.min()) if len(step) else 0
        free = anchors(rows.track, rows.step, c["generated"] == 1, ~(lost | occluded))
        at = np.arange(begin, int(step.max()) + 1 if len(step) else 0) * every - piece.begin
        wide, high = (scale * (c[f"{axis}max"] - c[f"{axis}min"])[keep] for axis in "xy")
        kept = Rows(
            track=rows.track[keep],
            step=step - begin,
            columns={
                "x": scale * (c["xmin"] + c["xmax"])[keep] / 2,
                "y": -scale * (c["ymin"] + c["ymax"])[keep] / 2,
                "length": np.maximum(wide, high),
                "width": np.minimum(wide, high),
            },
            type=rows.type[keep],
            code=np.where(c["generated"][keep] == 1, INTERPOLATED, OBSERVED).astype(np.uint8),
            line=None if rows.line is None else rows.line[keep],
        )
        return kept, begin, free[at]

    def example(self, folder: Path) -> list[Path]:
        place = folder / "gates" / "video0"
        place.mkdir(parents=True)
        (folder / SCALES).write_text("gates:\n   video0:\n      scale: 0.04\n      certainty: 1.0\n", encoding="utf-8")
        rows = []
        for frame in range(31):
            key = int(frame % 10 != 0)
            rows.append(f'0 {700 + 3 * frame} 500 {730 + 3 * frame} 540 {frame} {int(frame > 24)} 0 {key} "Pedestrian"')
        for frame in range(5, 31):
            key = int(frame not in (5, 20, 30))
            hidden = int(12 <= frame <= 14)
            rows.append(f'3 900 {300 + 8 * frame} 950 {390 + 8 * frame} {frame} 0 {hidden} {key} "Biker"')
        (place / "annotations.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
        return [folder]


def anchors(track: NDArray[np.int64], step: NDArray[np.int64], generated: NDArray[np.bool_], seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool `[T]`: the steps at which nothing that was seen so far is interpolated from a later key frame.

    A box that was interpolated knows the next key frame of its track, be it marked lost there: no step from the box to before that key
    frame may be the last one that a prediction knows.

    Args:
        track: `[R]`.
        step: `[R]`, from 0.
        generated: `[R]`, whether the box was interpolated.
        seen: `[R]`, whether the box is kept.
    """
    total, order = int(step.max()) + 1, np.lexsort((step, track))
    track, step, generated, seen = track[order], step[order], generated[order], seen[order]
    rows = np.arange(len(order))
    key = np.minimum.accumulate(np.where(generated, len(order), rows)[::-1])[::-1]
    inside = key < len(order)
    key = np.where(inside, key, 0)
    until = np.where(inside & (track[key] == track), step[key], total)
    bound = generated & seen
    knows = np.zeros(total + 1, dtype=np.int64)
    np.add.at(knows, step[bound], 1)
    np.add.at(knows, until[bound], -1)
    return np.cumsum(knows[:-1]) == 0


def scale_of(files: Sequence[Path], scene: str, video: str, *, whose: str) -> float:
    """Metres per pixel of a video, from `estimated_scales.yaml`.

    Raises:
        DataError: There is no such file, or it does not name the video.
    """
    hint = f"put {SCALES} beside the annotations or above them, with the scale of {scene}, {video}; or set metres_per_pixel"
    if not files:
        raise DataError(f"{whose}: metres per pixel are not known", hint)
    yaml = need("yaml", "data")
    try:
        table = yaml.safe_load(files[0].read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise DataError(f"{files[0].name}: not YAML ({' '.join(str(error).split())})", hint) from error
    for key in (scene, video, "scale"):
        table = table.get(key) if isinstance(table, Mapping) else None
    if isinstance(table, bool) or not isinstance(table, int | float) or not (math.isfinite(table) and table > 0):
        raise DataError(f"{files[0].name}: key {scene}/{video}/scale is missing or no positive number", hint)
    return float(table)


def _place(path: Path) -> tuple[str, str]:
    """Scene and video of a file, from its folders."""
    whole = path.resolve()
    return whole.parent.parent.name, whole.parent.name


def _check(columns: Mapping[str, NDArray[np.float64]], line: NDArray[np.int64], whose: str) -> None:
    """Refuse flags that are not 0 or 1, boxes that are inside out, and unknown labels."""
    bad = {f"{name} is neither 0 nor 1": ~np.isin(columns[name], (0, 1)) for name in FLAGS} | {
        "the box is inside out": (columns["xmax"] < columns["xmin"]) | (columns["ymax"] < columns["ymin"]),
        f"the label is none of {', '.join(LABELS)}": ~np.isin(columns["label"], list(LABELS)),
    }
    for reason, where in bad.items():
        if where.any():
            raise DataError(f"{whose}, row {line[int(np.argmax(where))]}: {reason}", f"columns are {', '.join(COLUMNS)}")


def _provenance(config: SddConfig) -> dict[str, str]:
    origin = "centre of the annotated box"
    if config.trust_interpolation:
        origin += "; between key frames interpolated with later ones (trusted by request: knows the future)"
    else:
        origin += "; where marked interpolated, between an earlier and a later key frame"
    scale = f"{config.metres_per_pixel:g} metres per pixel" if config.metres_per_pixel else f"metres per pixel of {SCALES}"
    return {
        "x": f"{origin}; {scale}",
        "y": f"{origin}; {scale}; turned to point up",
        "length": "longer side of an upright box: 0.7 of the true length or more",
        "width": "shorter side of an upright box: an upper bound",
    }
