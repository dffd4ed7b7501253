"""Reader `columns`: any table of text or parquet, explained by a mapping file (`mapping`).

Columns are read and cleaned by `columns_table`, and converted by `columns_rows` when all rows of a recording are known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twm_core.data.importing.files import find_above
from twm_core.data.importing.pieces import Pieces
from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
from twm_core.data.importing.tables import Chunk, distinct
from twm_core.data.importing.tracks import TrackMemory, make_recording
from twm_core.data.recording import Recording
from twm_core.errors import DataError
from twm_tables.columns.mapping import read_mapping
from twm_tables.columns.mapping_example import write_example
from twm_tables.columns.rows import rows_of, steps_of, types_of
from twm_tables.columns.table import MappedTable, emptied, plain_names, plain_words
from twm_tables.config import ColumnsConfig
from twm_tables.files import find_tables, natural
from twm_tables.headings import HeadingMemory
from twm_tables.limits import Ints

FILE = "columns.toml"
BETWEEN = "\x1f"
"""Between site and group in the key of a group: the unit separator of ASCII, which no name has."""


def build(config: ColumnsConfig) -> ColumnsReader:
    """The reader of this config."""
    return ColumnsReader(config)


class ColumnsReader(Reader):
    """One source per table."""

    def __init__(self, config: ColumnsConfig) -> None:
        self.config = config
        self.credits = Credits("a table with a mapping file", config.licence or "the owner's", "")

    def sources(self, paths: Sequence[Path]) -> list[Source]:
        """A source per table, with the mapping file."""
        paths = [path for path in paths if path.name != FILE or path.is_dir()] or [path.parent for path in paths]
        where = self.config.mapping or self._beside(paths)
        mapping = read_mapping(where)
        return [Source(name, (path, where)) for name, path in find_tables(paths, "tables", mapping.table.endings)]

    def read(self, source: Source) -> Iterator[Recording | Skipped]:
        """Every group in pieces of `scenario_seconds`."""
        path, where = source.files
        mapping = read_mapping(where)
        table = MappedTable(path, where, mapping)
        dt = mapping.time.step_seconds
        skipped = Counter[str]()
        steps = max(1, round(self.config.scenario_seconds / dt)) if self.config.scenario_seconds else 0
        numbers: dict[str, int] = {}
        lanes: dict[str, set[str]] = {}
        with Pieces(path.name, steps) as pieces:
            for chunk in table.chunks():
                self._take(table, chunk, pieces, numbers, lanes, skipped)
            if not pieces.rows:
                yield Skipped({**skipped, "tables without rows": 1})
                return
            memories: dict[Any, tuple[TrackMemory, HeadingMemory]] = {}
            for piece in pieces:
                site, _, part = str(piece.group).partition(BETWEEN)
                tracks, headings = memories.setdefault(piece.group, (TrackMemory(), HeadingMemory()))
                inside = [word for word in (site if mapping.site else "", part) if word]
                group = "/".join([source.name, *inside])
                names = sorted(lanes.get(site, ()), key=natural)
                site = self.config.site or site
                rows, provenance = rows_of(table, piece, numbers, names, headings)
                piece.columns.clear()
                made = make_recording(
                    rows,
                    file=path.name,
                    longest_gap=max(1, round(mapping.longest_gap_seconds / dt)),
                    skipped=skipped,
                    memory=tracks,
                    begin_step=piece.begin,
                    id=piece.name(group),
                    site=site,
                    group=group,
                    dt=dt,
                    start=piece.begin * dt,
                    lane_names=tuple(f"{site}:{name}" for name in names),
                    provenance=provenance,
                )
                del rows  # The caller may need the memory.
                yield made
                skipped = Counter()  # Counted once.

    def example(self, folder: Path) -> list[Path]:
        """A table, and a mapping file with every key explained."""
        return write_example(folder)

    def _beside(self, paths: Sequence[Path]) -> Path:
        for path in paths:
            found = path / FILE if (path / FILE).is_file() else find_above(path, FILE, levels=2)
            if found is not None:
                return found
        raise DataError(
            f"{', '.join(map(str, paths))}: no mapping file",
            f"give --reader.mapping, or put {FILE} beside the tables; `twm data example columns FOLDER` writes one to begin with",
        )

    def _take(
        self,
        table: MappedTable,
        chunk: Chunk,
        pieces: Pieces,
        numbers: dict[str, int],
        lanes: dict[str, set[str]],
        skipped: Counter[str],
    ) -> None:
        """Set the rows of a chunk aside."""
        mapping, line = table.mapping, chunk.line
        without = np.isnan(chunk["position.x"]) | np.isnan(chunk["position.y"])
        if without.any() and not mapping.table.skip_rows_without_position:
            raise DataError(
                f"{table.path}, row {line[np.argmax(without)]}: no position ({int(without.sum())} such rows)",
                "repair the row, or leave such rows out with table.skip_rows_without_position = true",
            )
        skipped["rows without a position"] += int(without.sum())
        rows = {key: values[~without] for key, values in chunk.columns.items()}
        line = rows["line"] = line[~without]
        if not len(line):
            return
        track = plain_names(rows.pop("track.column"))
        unique, which = distinct(track)
        if unique[0] == "":
            raise DataError(f"{table.path}, row {line[np.argmax(track == '')]}: no track ({table.says('track.column')})", "repair the row")
        rows["track"] = np.asarray([numbers.setdefault(str(n), len(numbers)) for n in unique], dtype=np.int64)[which]
        site = self._sites(table, rows, line)
        part = rows.pop("group.column", None)
        group = np.char.add(np.char.add(site, BETWEEN), "" if part is None else plain_names(part)).astype(np.str_)
        rows["type"] = types_of(table, rows.pop("type.column", None), line)
        lane = rows.pop("lane.column", None)
        if lane is not None:
            unknown = () if mapping.lane is None else plain_words(mapping.lane.unknown)
            rows["lane"] = emptied(plain_names(lane), unknown)
            for place in np.unique(site).tolist():
                lanes.setdefault(place, set()).update(str(n) for n in np.unique(rows["lane"][site == place]) if n)
        for name, part_of in (("leader", mapping.leader), ("follower", mapping.follower)):
            values = rows.pop(f"{name}.column", None)
            if values is not None and part_of is not None:
                rows[name] = emptied(plain_names(values), plain_words(part_of.none))
        pieces.add(group, steps_of(table, rows.pop("time.column"), line), rows)

    def _sites(self, table: MappedTable, rows: dict[str, NDArray[Any]], line: Ints) -> NDArray[Any]:
        values = rows.pop("site.column", None)
        if values is None:
            return np.full(len(line), table.path.resolve().parent.name or "site")
        names = plain_names(values)
        if (names == "").any():
            raise DataError(f"{table.path}, row {line[np.argmax(names == '')]}: no site ({table.says('site.column')})", "repair the row")
        return names
