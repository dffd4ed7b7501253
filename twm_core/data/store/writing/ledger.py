"""What a store writer has written so far: the ledger, made again from the journal after an interruption.

Every step of the writing is one event, `[word, facts]`, one line of JSON in the journal (`twm_core.data.store.writing.journal`):

    begin     the command; a folder is only resumed by an equal one
    features  the columns of `state` and `action`, known with the first scenario or before
    open      a source begins: name, files with sha256
    road      a road map stands in the spool
    scenario  a scenario stands in the spool
    close     the source is finished: what its reader skipped
    drop      the source cannot be read: everything since `open` is void
    left      a source was left out, because the store has it already
    file      a shard or maps file is finished
    finish    sha256 of the manifest that completes the store

The ledger changes by `apply(event)` alone, so that an interrupted import continues from exactly the state it was in.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from twm_core.data.scenario import INTERPOLATED, OBSERVED
from twm_core.data.schema import EXISTENCE_CODES
from twm_core.data.store.manifest import MAP_AXES, MAPS, SHARD_AXES, SHARDS
from twm_core.data.store.reading import Known
from twm_core.specs import AGENT_TYPES

Event = tuple[str, dict[str, Any]]

AXES = {SHARDS: SHARD_AXES, MAPS: MAP_AXES}
FACTS = ("shard", "steps", "site", "group", "source", "road", "provenance", "ego")
NUMBERS = len(FACTS) + 2 * len(SHARD_AXES) + len(EXISTENCE_CODES) + len(AGENT_TYPES)
"""Whole numbers kept of each scenario: `FACTS`, begin, count, codes, types, in this order."""
FLOATS = 6
"""And others: start, dt, origin, road_shift."""


@dataclass
class Segment:
    """A stretch of the spool that becomes one file of the store.

    Attributes:
        totals: Entries on each axis.
        bytes: Length.
        records: Own entries on each axis, and the crc32, of every record.
        sealed: The finished file, `bytes`, `sha256` and `blocks`.
    """

    totals: list[int]
    bytes: int = 0
    records: list[tuple[tuple[int, ...], int, int]] = field(default_factory=list)
    sealed: dict[str, Any] | None = None

    def add(self, counts: Sequence[int], size: int, crc: int) -> None:
        """Register a record."""
        self.records.append((tuple(counts), size, crc))
        self.totals = [a + b for a, b in zip(self.totals, counts, strict=True)]
        self.bytes += size

    def cut(self, records: int) -> None:
        """Forget all but the first records."""
        for counts, size, _ in self.records[records:]:
            self.totals = [a - b for a, b in zip(self.totals, counts, strict=True)]
            self.bytes -= size
        del self.records[records:]


class Ledger:
    """What has been written, as the events tell.

    Args:
        known: What the store has already.

    Attributes:
        command: Facts of the event `begin`; None before it.
        features: Names of the columns of `state`; None before the first scenario. `actions` are the columns of `action`.
        ids: New scenario ids, each with the name of its source.
        sites: All names of sites with their numbers; likewise `groups`, `provenance` (as JSON) and `roads` (sha256).
        numbers: `NUMBERS` for each new scenario; `floats` has `FLOATS`.
        road_places: For each new road map: segment, begin and count on `MAP_AXES`.
        lane_texts: Where in which segment lane names stand: (segment, sha256) to (begin, count).
        segments: The spool of `shards` and of `maps`.
        sources: Finished and bad sources in order: facts of `open`, with `scenarios`, and `skipped` or `message`.
        left: Sources left out.
        opened: Facts of the source that is open.
        here: Scenarios of the open source.
        finished: sha256 of the manifest.
    """

    def __init__(self, known: Known) -> None:
        self.known = known
        self.command: dict[str, Any] | None = None
        self.features: tuple[str, ...] | None = None
        self.actions = 0
        self.ids: dict[str, str] = {}
        self.sites, self.groups, self.provenance, self.roads = (
            {n: i for i, n in enumerate(names)} for names in (known.sites, known.groups, known.provenance, known.roads)
        )
        self.numbers = array("q")
        self.floats = array("d")
        self.road_places: list[tuple[int, list[int], list[int]]] = []
        self.lane_texts: dict[tuple[int, str], tuple[int, int]] = {}
        self.segments: dict[str, list[Segment]] = {SHARDS: [], MAPS: []}
        self.sources: list[dict[str, Any]] = []
        self.left: list[dict[str, Any]] = []
        self.opened: dict[str, Any] | None = None
        self.finished: str | None = None
        self._marks: list[int] = []

    @property
    def here(self) -> int:
        """Scenarios of the open source."""
        return len(self.ids) - self._marks[0] if self.opened is not None else 0

    def here_ids(self) -> list[str]:
        """Their ids."""
        return list(self.ids)[self._marks[0] :] if self.opened is not None else []

    def segment(self, word: str, number: int) -> Segment:
        """A segment of the spool, begun if it is the next."""
        segments = self.segments[word]
        if number == len(segments):
            segments.append(Segment([0] * len(AXES[word])))
        return segments[number]

    def apply(self, event: Event) -> None:
        """Register an event."""
        word, facts = event
        getattr(self, f"_{word}")(facts)

    def _begin(self, facts: dict[str, Any]) -> None:
        self.command = facts

    def _features(self, facts: dict[str, Any]) -> None:
        self.features, self.actions = tuple(facts["names"]), facts["actions"]

    def _open(self, facts: dict[str, Any]) -> None:
        self.opened = facts
        collections = (self.ids, self.sites, self.groups, self.provenance, self.roads, self.numbers, self.floats)
        last = [self.segments[w][-1] if self.segments[w] else None for w in (SHARDS, MAPS)]
        self._marks = [
            *(len(c) for c in collections),
            len(self.road_places),
            len(self.lane_texts),
            *(len(self.segments[w]) for w in (SHARDS, MAPS)),
            *(0 if s is None else len(s.records) for s in last),
            int(self.features is not None),
        ]

    def _road(self, facts: dict[str, Any]) -> None:
        segment = self.segment(MAPS, facts["segment"])
        self.road_places.append((facts["segment"], list(segment.totals), facts["count"]))
        segment.add(facts["count"], facts["bytes"], facts["crc"])
        self.roads[facts["sha256"]] = len(self.roads)

    def _scenario(self, facts: dict[str, Any]) -> None:
        segment = self.segment(SHARDS, facts["segment"])
        begin, count, own = list(segment.totals), list(facts["count"]), list(facts["count"])
        key = (facts["segment"], facts["lane_names"])
        at = self.lane_texts.setdefault(key, (begin[-1], count[-1]))
        if at[0] != begin[-1]:
            begin[-1], own[-1] = at[0], 0
        segment.add(own, facts["bytes"], facts["crc"])
        assert self.opened is not None
        self.ids[facts["id"]] = self.opened["name"]
        numbers = {
            "shard": self.known.shards + facts["segment"],
            "steps": facts["steps"],
            "site": self.sites.setdefault(facts["site"], len(self.sites)),
            "group": self.groups.setdefault(facts["group"], len(self.groups)),
            "source": self.known.sources + len(self.sources),
            "road": facts["road"],
            "provenance": self.provenance.setdefault(facts["provenance"], len(self.provenance)),
            "ego": facts["ego"],
        }
        self.numbers.extend([*(numbers[n] for n in FACTS), *begin, *count, *facts["codes"], *facts["types"]])
        self.floats.extend([facts["start"], facts["dt"], *facts["origin"], *facts["road_shift"]])

    def _close(self, facts: dict[str, Any]) -> None:
        assert self.opened is not None
        self.sources.append({**self.opened, "scenarios": self.here, "skipped": facts["skipped"]})
        self.opened = None

    def _drop(self, facts: dict[str, Any]) -> None:
        assert self.opened is not None
        ids, sites, groups, provenance, roads, numbers, floats, places, texts, shards, maps, in_shard, in_map, named = self._marks
        for names, length in (
            (self.ids, ids), (self.sites, sites), (self.groups, groups), (self.provenance, provenance), (self.roads, roads),
        ):  # fmt: skip
            while len(names) > length:
                names.popitem()
        while len(self.lane_texts) > texts:
            self.lane_texts.popitem()
        del self.numbers[numbers:], self.floats[floats:], self.road_places[places:]
        for word, segments, records in ((SHARDS, shards, in_shard), (MAPS, maps, in_map)):
            del self.segments[word][segments:]
            if segments and self.segments[word][-1].sealed is None:
                self.segments[word][-1].cut(records)
        if not named:
            self.features, self.actions = None, 0
        self.sources.append({**self.opened, "scenarios": 0, "message": facts["message"]})
        self.opened = None

    def _left(self, facts: dict[str, Any]) -> None:
        self.left.append(facts)

    def _file(self, facts: dict[str, Any]) -> None:
        segment = self.segments[facts["word"]][facts["segment"]]
        segment.sealed = {name: facts[name] for name in ("bytes", "sha256", "blocks") if name in facts}
        segment.records.clear()

    def _finish(self, facts: dict[str, Any]) -> None:
        self.finished = facts["sha256"]

    def states(self) -> int:
        """Rows at which an agent is there, of the new scenarios."""
        codes = len(FACTS) + 2 * len(SHARD_AXES)
        return sum(sum(self.numbers[codes + code :: NUMBERS]) for code in (OBSERVED, INTERPOLATED))

    def with_provenance(self, feature: str, text: str) -> int:
        """New scenarios of which a feature came about in this way."""
        such = {number for table, number in self.provenance.items() if json.loads(table).get(feature) == text}
        return sum(number in such for number in self.numbers[FACTS.index("provenance") :: NUMBERS])

    def rows(self) -> int:
        """Rows of the new scenarios."""
        return sum(self.numbers[len(FACTS) + len(SHARD_AXES) + SHARD_AXES.index("rows") :: NUMBERS])

    def agents(self) -> int:
        """Tracks of the new scenarios."""
        return sum(self.numbers[len(FACTS) + len(SHARD_AXES) + SHARD_AXES.index("tracks") :: NUMBERS])
