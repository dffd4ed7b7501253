"""The reader `commonroad`: CommonRoad XML files (2018b, 2020a), one source a file, through the parser of the dataset of the same name.

Site and group are those of the dataset: the site is the place of the benchmark id (`US101` for all maps of that road, `Peach-4` for a
junction), the group its part before the hyphen, because obstacle numbers are vehicle numbers within a recording. Files do not say when in
the recording they begin: every file starts at 0 s. Velocities are the file's speed along its orientation; accelerations are not read,
they need not be causal. Traffic lights are read as far as their cycle says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from twm_core.angles import wrap
from twm_core.data.importing.files import find_files
from twm_core.data.importing.pieces import RowsPiece, pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tracks import Rows, TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.data.roads.lane_lines import make_lanes
from twm_core.data.scenario import Lights, RoadMap
from twm_datasets.commonroad_example import example_text
from twm_datasets.commonroad_sites import site_of
from twm_datasets.commonroad_xml import RawFile, RawTrack, read_file
from twm_datasets.config_readers import CommonRoadReaderConfig


def build(config: CommonRoadReaderConfig) -> CommonRoadReader:
    """The reader."""
    return CommonRoadReader(config)


class CommonRoadReader(Reader):
    """Reads CommonRoad files."""

    credits = Credits(
        dataset="CommonRoad",
        licence="terms of each scenario (NGSIM recordings: open data of the US Department of Transportation)",
        citation="M. Althoff, M. Koschi, S. Manzinger: CommonRoad, IV 2017; recordings as each scenario names them",
    )

    def __init__(self, config: CommonRoadReaderConfig) -> None:
        self.config = config

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        found = find_files(paths, lambda path: path.suffix == ".xml", what="CommonRoad (.xml)")
        return [Source(name, (path,)) for name, path in found]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        raw = read_file(source.files[0], without_tracks=True)
        counts = dict(raw.skipped)
        if raw.static:
            counts["static obstacles"] = raw.static
        if not raw.tracks:
            counts["files without a moving obstacle"] = 1
        if counts:
            yield Skipped(counts)
        road = RoadMap(make_lanes(raw.lanelets), raw.lines)
        memory = TrackMemory()
        chunks = ((0, rows_of(track)) for track in raw.tracks)
        for piece in pieces(chunks, file=raw.name, dt=raw.dt, scenario_seconds=self.config.scenario_seconds):
            yield self._recording(raw, piece, source, road, memory)

    def _recording(self, raw: RawFile, piece: RowsPiece, source: Source, road: RoadMap, memory: TrackMemory) -> Recording:
        site = site_of(raw.benchmark)
        speed = "speed of the file along its orientation"
        steps = int(piece.rows.step.max()) + 1
        lights = None
        if raw.lights:
            lights = Lights(
                lane=tuple(light.lane for light in raw.lights),
                state=np.stack([light.light.states(piece.begin, steps) for light in raw.lights]),
                stop=np.stack([light.stop for light in raw.lights]),
            )
        return make_recording(
            piece.rows,
            file=raw.name,
            memory=memory,
            begin_step=piece.begin,
            id=piece.name(source.name),
            site=self.config.site or site,
            group=site.split("-")[0],
            start=piece.begin * raw.dt,
            dt=raw.dt,
            steps=steps,
            road=road,
            lights=lights,
            provenance={"vx": speed, "vy": speed},
        )

    def example(self, folder: Path) -> list[Path]:
        path = folder / "ZAM_Test-1_1_T-1.xml"
        path.write_text(example_text(), encoding="utf-8")
        return [path]


def rows_of(track: RawTrack) -> Rows:
    """One obstacle as rows."""
    n = len(track.rows)
    x, y, heading, speed = track.rows.T
    return Rows(
        track=np.full(n, track.id),
        step=track.first + np.arange(n, dtype=np.int64),
        columns={
            "x": x,
            "y": y,
            "heading": wrap(heading),
            "vx": speed * np.cos(heading),
            "vy": speed * np.sin(heading),
            "length": np.full(n, track.length),
            "width": np.full(n, track.width),
        },
        type=np.full(n, track.type, dtype=np.int64),
    )
