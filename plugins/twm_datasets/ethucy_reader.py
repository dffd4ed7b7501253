"""The reader `ethucy`: whole recordings of BIWI ETH and UCY, through the parser of the dataset of the same name.

A step is 0.4 s (with `eth_time = "true"`, 0.667 s for the eth recording); where nobody was annotated for a while, steps without anybody
stand in between. No pedestrian of the standard files crosses such a gap for 8 + 12 steps, so that the windows are those of the standard
loader, which runs across gaps. The train and val files repeat the rows of the whole recordings: where a folder has `all_data`, they are
left out and counted. Sites are places: the zara recordings show one street, the others of UCY one campus.

Lines of obstacles come from `scene_images/<scene>/map.xml` (as OpenTraj carries them: walls and posts in the metres of the tracks).

Formats: https://github.com/agrimgupta92/sgan (tracks), https://github.com/crowdbotp/OpenTraj (obstacles)
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twm_core.data.importing.files import find_above, find_files
from twm_core.data.importing.pieces import pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.importing.xml_children import read_children
from twm_core.data.recording import Recording
from twm_core.data.scenario import RoadLine, RoadMap
from twm_core.errors import DataError
from twm_core.specs import AGENT_TYPES
from twm_datasets.commonroad_values import number
from twm_datasets.config import ETHUCY_DT
from twm_datasets.config_readers import EthUcyReaderConfig
from twm_datasets.ethucy_text import ETH_TRUE_DT, read_lines

SITES = {"biwi_eth": "eth", "biwi_hotel": "hotel", "crowds_zara": "zara", "students": "univ", "uni_examples": "univ"}
"""Places by the beginnings of file names."""

SCENES = {
    "biwi_eth": "seq_eth",
    "biwi_hotel": "seq_hotel",
    "crowds_zara01": "zara01",
    "crowds_zara02": "zara02",
    "crowds_zara03": "zara03",
    "students003": "students03",
}
"""Folders of `scene_images` by recording."""

_CUT = ("_train", "_val")


@dataclass(frozen=True)
class WholeRecording(Source):
    """A recording, and how many files that hold parts of it are left out for its sake."""

    parts: int = 0


def build(config: EthUcyReaderConfig) -> EthUcyReader:
    """The reader."""
    return EthUcyReader(config)


class EthUcyReader(Reader):
    """Reads ETH/UCY text files."""

    credits = Credits(
        dataset="BIWI ETH and UCY",
        licence="published for research, without a formal licence text",
        citation="S. Pellegrini et al.: You'll Never Walk Alone, ICCV 2009; A. Lerner et al.: Crowds by Example, Eurographics 2007",
    )

    def __init__(self, config: EthUcyReaderConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        def accept(path: Path) -> bool:
            return path.suffix == ".txt" and "scene_images" not in path.parts

        found = find_files(paths, accept, what="ETH/UCY (raw/all_data/*.txt)")
        whole = [path for _, path in found if not path.stem.endswith(_CUT)]
        sources: list[tuple[str, tuple[Path, ...]]] = []
        cut: Counter[Path] = Counter()
        for name, path in found:
            # A part is left out only where the recording that it is a part of is read.
            original = next((w for w in whole if w.stem == _recording(path)), None)
            if path.stem.endswith(_CUT) and original is not None and not self.config.pieces:
                cut[original] += 1
                continue
            scene = _scene(path)
            sources.append((name, (path, *([] if scene is None else [scene]))))
        return [WholeRecording(name, files, cut[files[0]]) for name, files in sources]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        path, config = source.files[0], self.config
        table, line = read_lines(path)
        if isinstance(source, WholeRecording) and source.parts:
            yield Skipped({"files that repeat rows of the whole recordings (train, val)": source.parts})
        frames = np.unique(table[:, 0])
        unit = float(np.diff(frames).min()) if len(frames) > 1 else 1.0
        step = (table[:, 0] - frames[0]) / unit
        apart = np.flatnonzero(np.abs(step - np.rint(step)) > 1e-6)
        if len(apart):
            at = int(apart[0])
            raise DataError(
                f"{path.name}, row {line[at]}: frame {table[at, 0]:g} is no multiple of {unit:g} frames after frame {frames[0]:g}",
                "all frames must lie at multiples of the smallest distance between two",
            )
        recording = _recording(path)
        dt = ETH_TRUE_DT if config.eth_time == "true" and recording == "biwi_eth" else ETHUCY_DT
        names = np.asarray([f"{name:g}" for name in table[:, 1]], dtype=np.str_)
        rows = Rows(
            track=names,
            step=np.rint(np.clip(step, 0, 2**53)).astype(np.int64),
            columns={"x": table[:, 2], "y": table[:, 3]},
            type=np.full(len(table), AGENT_TYPES.index("pedestrian"), dtype=np.int64),
            line=line,
        )
        road = RoadMap((), obstacles(source.files[1])) if len(source.files) > 1 else None
        memory = TrackMemory()
        for piece in pieces([(0, rows)], file=path.name, dt=dt, scenario_seconds=config.scenario_seconds):
            yield make_recording(
                piece.rows,
                file=path.name,
                longest_gap=LONGEST_GAP,
                memory=memory,
                begin_step=piece.begin,
                id=piece.name(source.name),
                site=config.site or next((site for name, site in SITES.items() if recording.startswith(name)), recording),
                group=source.name if path.stem.endswith(_CUT) else recording,
                start=(frames[0] / unit + piece.begin) * dt,
                dt=dt,
                road=road,
            )

    def example(self, folder: Path) -> list[Path]:
        place = folder / "raw" / "all_data"
        place.mkdir(parents=True)
        lines = []
        for step in range(24):
            frame = 780 + 10 * step
            lines.append(f"{frame}\t1.0\t{8.46 - 0.35 * step:.2f}\t{3.59 + 0.02 * step:.2f}")
            if step >= 3:
                lines.append(f"{frame}\t2.0\t{-3 + 0.5 * step:.2f}\t{5.5 - 0.01 * step:.2f}")
            if step < 20:
                lines.append(f"{frame}\t3.0\t2.10\t{1 + 0.4 * step:.2f}")
        (place / "biwi_eth.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        scene = folder / "scene_images" / "seq_eth"
        scene.mkdir(parents=True)
        (scene / "map.xml").write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n<Trial xmlns="https://github.com/amiryanj/OpenTraj"><obstacles><obstacle>'
            '<TrialObstacle><Lines><Line x1="-1" y1="0" x2="14" y2="0" thickness="1" /></Lines></TrialObstacle>'
            "</obstacle></obstacles></Trial>\n",
            encoding="utf-8",
        )
        return [folder]


LONGEST_GAP = 20
"""Steps that a pedestrian may be away and still be the same track."""


def obstacles(path: Path) -> tuple[RoadLine, ...]:
    """The lines of a `map.xml`.

    Raises:
        DataError: It is malformed.
    """
    children = read_children(path, _TRIAL, what="the map.xml of a scene")
    next(children)
    found: list[RoadLine] = []
    for child in children:
        for line in child.iter():
            if line.tag.rpartition("}")[2] == "Line":
                found.append(_line(line, f"{path.parent.name}/{path.name}, line {len(found) + 1}"))
    return tuple(found)


def _line(line: ET.Element, whose: str) -> RoadLine:
    x1, y1, x2, y2 = (number(line.get(name), name, whose) for name in ("x1", "y1", "x2", "y2"))
    return RoadLine("obstacle", np.asarray([(x1, y1), (x2, y2)], dtype=np.float64))


_TRIAL = "{https://github.com/amiryanj/OpenTraj}Trial"


def _recording(path: Path) -> str:
    """Name of the recording of a file, whole or cut."""
    return path.stem.removesuffix("_train").removesuffix("_val")


def _scene(path: Path) -> Path | None:
    """The map of obstacles of a recording, where it is there."""
    folder = find_above(path, "scene_images")
    scene = SCENES.get(_recording(path))
    if folder is None or scene is None:
        return None
    return found if (found := folder / scene / "map.xml").is_file() else None
