"""One run over the sources of an import: which are read, continued, left out as copies or as bad, and what becomes of each recording.

The order of things for one source: the hashes of its files, whether the same bytes were imported before, then recording by recording
`derive` and the writer. `twm_core.data.importing.importer` begins and ends the run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twm_core.data.features.derive import NO_MAP, derive, supported
from twm_core.data.features.lanes import LANE_FEATURES
from twm_core.data.importing.identity import file_facts, file_times, shortly
from twm_core.data.importing.reader import Reader, Skipped, Source
from twm_core.data.recording import Recording
from twm_core.data.store.writing.draft import CannotWriteError
from twm_core.data.store.writing.writer import StoreWriter
from twm_core.errors import DataError
from twm_core.reporting import Reporter


class MapCameLateError(Exception):
    """A recording has a road map, and those before it had none, so the features that they decided on lack those of lanes."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording.id)
        self.scenario = recording.id
        self.features = supported(recording)


class ImportRun:
    """One import: what decides which sources are read.

    Args:
        reader: What reads them.
        writer: Where to.
        features: Columns of `state`.
        skip_bad: Whether to go on after a source that cannot be read.
        observe: Is told progress.

    Attributes:
        writer: Where to.
        not_read_again: Sources that were finished before the interruption.
    """

    def __init__(self, reader: Reader, writer: StoreWriter, features: tuple[str, ...] | None, skip_bad: bool, observe: Reporter) -> None:
        self._reader = reader
        self.writer = writer
        self._skip_bad = skip_bad
        self._observe = observe
        self._asked_for = features
        self._features = features if features is not None or writer.base is None else writer.base.manifest.feature_names
        self._sources = 0
        self._finished = 0
        self.not_read_again = 0
        base = () if writer.base is None else writer.base.sources()
        self._before = {_key(s.files): s.name for s in base if not s.message}
        self._here: dict[tuple[str, ...], tuple[str, tuple[Path, ...]]] = {}

    def all(self, sources: Sequence[Source]) -> None:
        """Import the sources that are not finished."""
        if self.writer.done:
            self.not_read_again = len(sources)
            return
        self._sources = len(sources)
        self._tell()
        finished = {s["name"]: s for s in self.writer.ledger.sources}
        left = {s["name"]: s for s in self.writer.ledger.left}
        for number, source in enumerate(sources):
            stats = file_times(source)
            facts = {"name": source.name, "files": file_facts(source), "reader": self.writer.readers_before}
            done = finished.get(source.name) or left.get(source.name)
            if done is not None:
                self._same(source, done["files"], facts["files"])
                self.not_read_again += 1
                if "message" in done and not self._skip_bad:
                    raise DataError(done["message"], "repair it and use --restart, or continue with --skip-bad")
                self._register(source, facts["files"])
            elif self._twin(source, facts["files"]):
                self.writer.leave_out(facts)
            else:
                self._one(source, facts, stats)
            self._finished = number + 1
            self._tell()

    def _tell(self) -> None:
        """Report progress."""
        self._observe.progress(self._finished, self._sources, {"scenarios": len(self.writer.ledger.ids)})

    def _one(self, source: Source, facts: dict[str, Any], stats: list[tuple[int, int]]) -> None:
        opened = self.writer.ledger.opened
        if opened is not None and opened["name"] == source.name:
            self._same(source, opened["files"], facts["files"])
        there = self.writer.open_source(facts)
        expected = self.writer.ledger.here_ids()
        skipped: Counter[str] = Counter()
        try:
            number = 0
            for found in self._reader.read(source):
                if isinstance(found, Skipped):
                    skipped.update(found.counts)
                    continue
                skipped.update(found.skipped)
                if number < there:
                    if found.id != expected[number]:
                        raise DataError(
                            f"source {source.name} gave scenario {expected[number]} before the interruption and {found.id} now",
                            "begin again with --restart",
                        )
                else:
                    self._write(found)
                    self._tell()
                number += 1
                del found  # before the reader makes the next one
            if number < there:
                raise DataError(f"source {source.name} gave {there} scenarios before the interruption and {number} now", "use --restart")
            if stats != file_times(source):
                raise DataError(f"source {source.name} was changed while it was read", "import it when nobody writes it")
        except CannotWriteError:
            raise
        except DataError as error:
            if not self._skip_bad:
                raise
            self.writer.drop_source(error.message)
            self._observe.note(f"left out {source.name}: {error.message}")
            return
        self.writer.close_source(skipped)
        self._register(source, facts["files"])

    def _write(self, recording: Recording) -> None:
        features = self.writer.ledger.features or self._features
        if self._features is None and features is not None and not set(supported(recording)) <= set(features):
            raise MapCameLateError(recording)
        scenario = derive(recording, features=features, allow_no_map=True)
        self.writer.add(scenario, road=recording.road, road_shift=scenario.origin)

    def check_features(self) -> None:
        """Refuse features that are not known of a single scenario.

        Raises:
            DataError: Features of lanes are asked for by name, and no recording has a road map.
        """
        asked = [n for n in self._asked_for or () if n in LANE_FEATURES]
        scenarios = len(self.writer.ledger.ids)
        if asked and self.writer.base is None and scenarios and self.without_map() == scenarios:
            raise DataError(
                f"features {', '.join(asked)} need a road map with lanes, and none of the {scenarios} scenarios has one",
                "leave them out, or give the reader the map",
            )

    def without_map(self) -> int:
        """Scenarios whose lane features are not known."""
        ledger = self.writer.ledger
        of_lanes = [n for n in ledger.features or () if n in LANE_FEATURES]
        return ledger.with_provenance(of_lanes[0], NO_MAP) if of_lanes else 0

    def _same(self, source: Source, before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> None:
        """Refuse files that are not those that were read before the interruption."""
        for was, is_ in zip(before, now, strict=False):
            if was != is_:
                raise DataError(
                    f"source {source.name}: {is_['name']} was changed since the import was interrupted: {shortly(was)}, now {shortly(is_)}",
                    "begin again with --restart",
                )
        if len(before) != len(now):
            raise DataError(f"source {source.name} had {len(before)} files and has {len(now)}", "begin again with --restart")

    def _register(self, source: Source, files: Sequence[Mapping[str, Any]]) -> None:
        self._here.setdefault(_key(files), (source.name, tuple(f.resolve() for f in source.files)))

    def _twin(self, source: Source, files: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the same bytes were imported: into the store before, or from other files of this import."""
        key = _key(files)
        twin = self._before.get(key)
        if twin is None and key in self._here:
            name, at = self._here[key]
            # A reader may make several sources of the same files.
            twin = None if at == tuple(f.resolve() for f in source.files) else name
        if twin is None:
            return False
        self._observe.note(f"left out {source.name}: its files are those of {twin}")
        return True


def _key(files: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(sorted(f["sha256"] for f in files))
