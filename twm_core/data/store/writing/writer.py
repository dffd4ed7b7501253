"""Writes scenarios into a new store, or adds them to one, in memory bounded by one scenario.

The writing goes on in a draft beside the store, `X.twm.partial` (see `store_draft`), which a writer that is opened with the same command
continues. When scenarios are added to a store, new files are put beside the old ones, which do not change, and one replacement of the
manifest makes them part of it. `write_store` writes scenarios that are at hand.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twm_core.atomic import sync, write_text
from twm_core.data.scenario import RoadMap, Scenario
from twm_core.data.store.blocks import file_facts
from twm_core.data.store.locking import only_writer, partial_folder
from twm_core.data.store.manifest import MANIFEST, MAP_AXES, MAP_COLUMNS, MAPS, SHARDS, StoredReader, read_store_manifest
from twm_core.data.store.reading import Known, Store, open_store
from twm_core.data.store.roads import arrays_hash, road_arrays
from twm_core.data.store.writing.completion import build_manifest
from twm_core.data.store.writing.draft import JOURNAL, Draft
from twm_core.data.store.writing.record import action_width, record_of
from twm_core.data.store.writing.resume import shortly
from twm_core.data.store.writing.table import build_index
from twm_core.errors import DataError
from twm_core.tensor_files import file_hash

SHARD_BYTES = 128 << 20
"""About how long shards are; one scenario that is longer makes a longer shard."""

_ROADS_KEPT = 64

_OF_A_STORE = re.compile(r"(index-\d+|\d{6,})\.safetensors|sources-\d+\.jsonl")


class StoreWriter:
    """Writes one store.

    Args:
        out: Folder of the store, usually `NAME.twm`.
        command: What is done, as JSON; an interrupted writing is only continued by an equal command.
        append: Add to the store that is there, instead of making one.
        restart: Remove what an interrupted writing left, instead of continuing it.
        resume: Whether an interrupted writing may be continued; else it is refused.
        shard_bytes: About how long shards are.

    Attributes:
        ledger: What has been written.
        resumed: Whether an interrupted writing is continued.

    The lock of the store is held until `finish`, `remove` or `release`.

    Raises:
        BusyError: Another process writes the store.
        DataError: The store is there already (or is not, with `append`), another command is writing it, or the folder cannot be written.
    """

    def __init__(
        self,
        out: Path,
        *,
        command: Mapping[str, Any],
        append: bool = False,
        restart: bool = False,
        resume: bool = True,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self.out = out
        self.folder = partial_folder(out)
        self._command, self._append, self._shard_bytes = command, append, shard_bytes
        with ExitStack() as locked:
            locked.enter_context(only_writer(out, new=not append))
            if self.folder.exists() and not resume:
                raise DataError(f"{self.folder} is from an interrupted import", "finish it with the same command, or remove it")
            self._begin(restart)
            self._locked = locked.pop_all()

    def _begin(self, restart: bool) -> None:
        out, append = self.out, self._append
        self._base = open_store(out) if append else None
        known = Known() if self._base is None else self._base.known()
        self._before = set(known.ids)
        self._roads: dict[int, tuple[RoadMap, int]] = {}
        existed = (self.folder / JOURNAL).exists()
        if self.folder.exists() and (restart or not existed):
            shutil.rmtree(self.folder)
            existed = False
        if not append and not existed and out.exists():
            raise DataError(f"{out} is there already", "give another name, remove it, or add to it with --append")
        onto = "" if self._base is None else self._out_hash()
        wanted = json.loads(json.dumps({**self._command, "onto": onto}, sort_keys=True))
        self._draft = Draft(out, command=wanted, known=known, limit=self._shard_bytes)
        self.ledger = self._draft.ledger
        self.resumed = existed and self.ledger.command is not None
        if self.resumed and not append and out.exists() and not self.done:
            raise self._draft.unusable(f"{out} is there already")
        if not self.resumed:
            with self._draft.writing():
                self._draft.write("begin", wanted)
                self._draft.sync()

    def begin_again(self) -> None:
        """Remove what was written, and begin anew. The lock is kept."""
        self._draft.release()
        self._begin(restart=True)

    @property
    def done(self) -> bool:
        """Whether the interrupted writing had completed the store, so that only its folder is left to remove."""
        return self.ledger.finished is not None and self._out_hash() == self.ledger.finished

    @property
    def readers_before(self) -> int:
        """Number of readers of the store that is appended to."""
        return 0 if self._base is None else len(self._base.manifest.readers)

    @property
    def base(self) -> Store | None:
        """The store that is appended to."""
        return self._base

    def _out_hash(self) -> str:
        return file_hash(self.out / MANIFEST) if (self.out / MANIFEST).is_file() else ""

    def open_source(self, facts: dict[str, Any]) -> int:
        """Begin a source (`name`, `files`, ...), or continue the one that was interrupted.

        Returns:
            How many of its scenarios are there already.
        """
        if self.ledger.opened is not None:
            if self.ledger.opened != facts:
                raise self._draft.unusable(f"source {facts['name']} was {shortly(self.ledger.opened)} and is {shortly(facts)}")
            return self.ledger.here
        with self._draft.writing():
            self._draft.write("open", facts)
        return 0

    def leave_out(self, facts: dict[str, Any]) -> None:
        """Count a source that is not imported, because the store has it already."""
        with self._draft.writing():
            self._draft.write("left", facts)

    def fix_features(self, names: tuple[str, ...]) -> None:
        """Decide the features of the store before its first scenario; nothing where they are decided."""
        if self.ledger.features is None:
            with self._draft.writing():
                self._draft.write("features", {"names": list(names), "actions": 0})

    def add(self, scenario: Scenario, *, road: RoadMap | None = None, road_shift: tuple[float, float] = (0.0, 0.0)) -> None:
        """Write a scenario.

        Args:
            scenario: The scenario. The first decides the features of the store, unless `fix_features` did.
            road: The map to keep, where that is not the scenario's own: one that scenarios of a site share.
            road_shift: What to subtract from its points to get the scenario's own.

        Raises:
            DataError: Its id is there already, its features are others, or it holds impossible codes or types.
        """
        self._fits(scenario)
        facts, arrays = record_of(scenario)
        if road is None:
            road, road_shift = scenario.road, (0.0, 0.0)
        with self._draft.writing():
            if self.ledger.features is None:
                self._draft.write("features", {"names": list(scenario.features), "actions": action_width(scenario)})
            facts["road"] = -1 if road is None else self._road(road)
            facts["road_shift"] = list(road_shift)
            segment = self._draft.segment(SHARDS, facts["count"])
            if (segment, facts["lane_names"]) in self.ledger.lane_texts:
                arrays["lane_names"] = arrays["lane_names"][:0]
            self._draft.write("scenario", {**facts, **self._draft.put(SHARDS, segment, arrays)})

    def _fits(self, scenario: Scenario) -> None:
        if scenario.id in self._before or scenario.id in self.ledger.ids:
            where = f"source {self.ledger.ids[scenario.id]}" if scenario.id in self.ledger.ids else str(self.out)
            source = "" if self.ledger.opened is None else f"source {self.ledger.opened['name']}: "
            raise DataError(f"{source}scenario {scenario.id} is in {where} already", "rename the files, or leave one of them out")
        wanted, actions = self.ledger.features, self.ledger.actions
        if wanted is None and self._base is not None:
            wanted, actions = self._base.manifest.feature_names, self._base.manifest.actions
        if wanted is not None and (wanted != scenario.features or actions != action_width(scenario)):
            raise DataError(
                f"scenario {scenario.id} has the features {', '.join(scenario.features)} and {action_width(scenario)} actions;"
                f" the store has {', '.join(wanted)} and {actions} actions",
                f"import with --features {','.join(wanted)}, or into another store",
            )

    def _road(self, road: RoadMap) -> int:
        """Number of a road map, which is written if no equal one was."""
        kept = self._roads.get(id(road))
        if kept is not None and kept[0] is road and kept[1] < len(self.ledger.roads):
            return kept[1]
        arrays = road_arrays(road)
        digest = arrays_hash(arrays)
        number = self.ledger.roads.get(digest)
        if number is None:
            number = len(self.ledger.roads)
            lengths = {c.axis: len(arrays[c.name]) for c in MAP_COLUMNS}
            counts = [lengths[axis] for axis in MAP_AXES]
            place = self._draft.put(MAPS, self._draft.segment(MAPS, counts), arrays)
            self._draft.write("road", {"sha256": digest, "count": counts, **place})
        if len(self._roads) >= _ROADS_KEPT:
            self._roads.clear()
        self._roads[id(road)] = (road, number)
        return number

    def close_source(self, skipped: Mapping[str, int]) -> None:
        """The source that is open is finished; `skipped` counts what its reader left out."""
        with self._draft.writing():
            self._draft.write("close", {"skipped": {k: int(v) for k, v in sorted(skipped.items())}})
            self._draft.make_files(every=False)

    def drop_source(self, message: str) -> None:
        """The source that is open cannot be read: remove what was written of it."""
        with self._draft.writing():
            self._draft.write("drop", {"message": message})
            self._roads.clear()
            self._draft.settle()

    def finish(self, readers: Sequence[StoredReader]) -> Path:
        """Complete the store and give it its name.

        Args:
            readers: The readers of the new sources, which refer to them by number after those of the store that is appended to.

        Returns:
            Its folder.

        Raises:
            DataError: No scenario was written.
        """
        if not self.done:
            if not self.ledger.ids and self._base is None:
                raise DataError(f"nothing to write into {self.out}: no source gave a scenario", "see what the reader skipped")
            with self._draft.writing():
                self._draft.make_files(every=True)
                self._complete(readers)
        with self._draft.writing():
            self._tidy()
            self._draft.release()
            # The journal goes last: without it nobody could tell that the store is complete.
            for entry in sorted(self.folder.iterdir()):
                if entry.is_dir():
                    shutil.rmtree(entry)
                elif entry.name != JOURNAL:
                    entry.unlink()
            shutil.rmtree(self.folder)
        self.release()
        return self.out

    def _tidy(self) -> None:
        """Remove the tables that this addition has replaced, and files of one that was interrupted and not continued."""
        named = {f.file for f in read_store_manifest(self.out).files}
        for pattern in ("index-*.safetensors", "sources-*.jsonl", f"{SHARDS}/*.safetensors", f"{MAPS}/*.safetensors"):
            for file in sorted(self.out.glob(pattern)):
                if file.relative_to(self.out).as_posix() not in named and _OF_A_STORE.fullmatch(file.name):
                    file.unlink()

    def _complete(self, readers: Sequence[StoredReader]) -> None:
        store, base = self.folder / "store", self._base
        number = 0 if base is None else base.additions + 1
        index = build_index(store / f"index-{number}.safetensors", self.ledger, None if base is None else base.index)
        lines = [json.dumps(s, sort_keys=True, separators=(",", ":")) + "\n" for s in self.ledger.sources]
        before = "" if base is None else (self.out / base.manifest.sources.file).read_text(encoding="utf-8")
        sources = store / f"sources-{number}.jsonl"
        write_text(sources, before + "".join(lines))
        facts = {"file": sources.name, **file_facts(sources)}
        manifest = build_manifest(self.ledger, None if base is None else base.manifest, readers, index, facts)
        text = manifest.text()
        write_text(store / MANIFEST, text)
        self._draft.write("finish", {"sha256": file_hash(store / MANIFEST)})
        self._draft.sync()
        if base is None:
            os.replace(store, self.out)
            sync(self.out.parent)
            return
        for word in (SHARDS, MAPS):
            (self.out / word).mkdir(exist_ok=True)
            for file in sorted((store / word).iterdir()):
                os.replace(file, self.out / word / file.name)
            sync(self.out / word)
        for name in (index["file"], sources.name):
            os.replace(store / name, self.out / name)
        sync(self.out)
        write_text(self.out / MANIFEST, text)

    def release(self) -> None:
        """Close all files and give the lock back; what was written stays for the same command to continue. Twice does no harm."""
        self._draft.release()
        self._locked.close()

    def remove(self) -> None:
        """Close all files, remove what was written, and give the lock back."""
        self._draft.release()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._locked.close()
