"""A healthy reader of lines `track step x y`, and what may be wrong with one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from zoo_configs import ZooReader

from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tracks import Rows, make_recording
from twm_core.data.recording import Recording
from twm_core.errors import DataError

_READS = itertools.count()
DT = 0.5


class ZooReaderModel(Reader):
    def __init__(self, config: ZooReader) -> None:
        self.config = config
        self.credits = Credits("" if config.fault == "is anonymous" else "the zoo")

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        found: list[Path] = []
        for path in paths:
            if path.is_dir():
                found += sorted(path.glob("*.zoo"))
            elif path.is_file():
                found.append(path)
        if not found:
            if self.config.fault == "finds nothing and is happy":
                return []
            raise DataError(f"no .zoo file in {', '.join(p.name for p in paths)}", "give files that end in .zoo")
        if self.config.fault == "names one file twice":
            return [Source(p.name, (p,)) for p in [*found, *found]]
        return [Source(str(p) if self.config.fault == "names its folder" else p.stem, (p,)) for p in found]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        fault, (path,) = self.config.fault, source.files
        read = next(_READS)
        table = []
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            words = line.split()
            try:
                row = [float(w) for w in words]
                if len(row) != 4 or not np.isfinite(row).all() or row[:2] != [int(v) for v in row[:2]] or not 0 <= row[1] < 1e4:
                    raise ValueError(line)
            except ValueError as error:
                if fault == "dies of bad numbers":
                    raise
                raise DataError(f"{path.name}, row {number}: {line!r} is not a row", "repair it") from error
            table.append(row)
        if not table:
            raise DataError(f"{path.name}: is empty", "leave it out")
        rows = np.asarray(table)
        limit = self.config.scenario_seconds or np.inf
        if fault == "never cuts":
            limit = np.inf
        piece = (rows[:, 1] * DT // limit).astype(int)
        for number in np.unique(piece):
            yield self._recording(source, rows[piece == number], int(number), limit, read)

    def _recording(self, source: Source, rows: np.ndarray, piece: int, limit: float, read: int) -> Recording:
        fault, path = self.config.fault, source.files[0]
        begin = int(piece * limit / DT) if piece else 0
        x = rows[:, 2] * (1e9 if fault == "forgets the unit" else 1.0)
        if fault == "draws while reading":
            x = x + read
        columns = {"x": x, "y": rows[:, 3]}
        if fault == "gives degrees":
            columns["heading"] = np.full(len(x), 90.0)
        if fault == "differences with the future":
            order = np.lexsort((rows[:, 1], rows[:, 0]))
            vx = np.empty(len(x))
            vx[order] = np.gradient(x[order], DT)
            columns["vx"], columns["vy"] = vx, np.zeros(len(x))
        return make_recording(
            Rows(
                track=rows[:, 0].astype(int), step=rows[:, 1].astype(int) - begin, columns=columns, type=np.ones(len(rows), dtype=np.int64)
            ),
            file=path.name,
            id=f"{source.name}-{piece}",
            site="the zoo" if fault == "knows better where it is" else self.config.site or "savanna",
            group=source.name,
            start=begin * DT,
            dt=DT,
        )

    def example(self, folder: Path) -> list[Path]:
        path = folder / "animals.zoo"
        spans = {1: (0, 20), 2: (4, 24), 3: (0, 12)}
        lines = [
            f"{track} {step} {2.0 * step + 0.05 * step**2 + track} {-3.5 * track}"
            for track, (a, b) in spans.items()
            for step in range(a, b)
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return [path]


def build(config: ZooReader) -> ZooReaderModel:
    return ZooReaderModel(config)
