"""Splits of scenarios into train, val and test, without a leak: by site, by time, or by vehicle.

* *site*: a place stands in one split, whole. Sites that share a recording (vehicles drive from one to the next) stay together.
* *time*: the recordings of a place stand in their order and are cut into three stretches of time, first train, then val, then test. All
  scenarios of a recording that cover the moment of a cut are cut at that moment, so nothing that overlaps lies on both sides.
* *vehicle*: of each recording, vehicles are drawn for the splits; every scenario stands in all three, and each scores its own vehicles.
  Training shows its own vehicles only, because models learn from every agent they see.

Only vehicles that the recordings let one score (`Scenario.eligible`) are drawn, shared out and counted as a split's own; a piece without
one is left out. With *vehicle* all others belong to train, which learns from them; no split scores them.

A vehicle is known by (group, track), see `Scenario.group`. It belongs to the first of train, val, test that shows it, and only that split
scores it: who drives across a cut stays visible afterwards, as context. The result is a list of pieces for each split,

    {"scenario": id, "from": first step, "to": step after the last one, "tracks": numbers of the tracks that may be scored, or null for all}

which a store keeps in its manifest. Nothing here looks at a state: splits depend on who is there when, and on a seed for vehicles.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import Scenario
from twm_core.data.windows.protocol import Part
from twm_core.errors import DataError

NAMES = ("train", "val", "test")
"""The splits, in the order in which they come to own vehicles."""

By = Literal["site", "time", "vehicle"]

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class SplitSection:
    """What a split may use of a scenario: steps `begin .. end - 1`; it may score `tracks` (by number), None for all it shows there."""

    scenario: str
    begin: int
    end: int
    tracks: tuple[int, ...] | None = None

    def part(self, scenario: Scenario) -> Part:
        """The piece as windows need it.

        Raises:
            DataError: The piece does not fit the scenario.
        """
        count = len(scenario.first)
        bad = self.tracks is not None and any(not 0 <= t < count for t in self.tracks)
        if bad or not 0 <= self.begin < self.end <= scenario.steps:
            raise DataError(
                f"the split has steps {self.begin} to {self.end} and tracks of scenario {scenario.id}, which has {scenario.steps} steps"
                f" and {count} tracks",
                "split the store again: twm data split",
            )
        own = None
        if self.tracks is not None:
            own = np.zeros(count, dtype=bool)
            own[list(self.tracks)] = True
        return Part(self.begin, self.end, own)


@dataclass(frozen=True)
class Splits:
    """Pieces by name of the split, how they were made, and by split what was counted."""

    pieces: Mapping[str, tuple[SplitSection, ...]]
    rule: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a store's manifest keeps it: a list of pieces by split, and `rule` with the rest."""

        def plain(piece: SplitSection) -> dict[str, Any]:
            tracks = None if piece.tracks is None else list(piece.tracks)
            return {"scenario": piece.scenario, "from": piece.begin, "to": piece.end, "tracks": tracks}

        found: dict[str, Any] = {name: [plain(p) for p in pieces] for name, pieces in self.pieces.items()}
        return found | {"rule": {**self.rule, "report": {k: dict(v) for k, v in self.report.items()}}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Splits:
        """What `to_json` gave.

        Raises:
            DataError: It is of another form.
        """
        try:
            pieces = {
                name: tuple(
                    SplitSection(
                        str(p["scenario"]), int(p["from"]), int(p["to"]), None if p["tracks"] is None else tuple(map(int, p["tracks"]))
                    )
                    for p in value[name]
                )
                for name in NAMES
            }
            rule = dict(value.get("rule", {}))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the stored splits are malformed ({type(error).__name__}: {error})", "make them again: twm data split"
            ) from error
        return cls(pieces, rule, rule.pop("report", {}))


@dataclass(frozen=True)
class _Entry:
    """What splitting needs to know of a scenario."""

    id: str
    site: str
    group: str
    start: float
    dt: float
    steps: int
    track: tuple[str, ...]
    first: NDArray[np.int64]
    end: NDArray[np.int64]
    eligible: NDArray[np.bool_]

    @property
    def stop(self) -> float:
        return self.start + self.steps * self.dt

    @property
    def states(self) -> int:
        return int((self.end - self.first).sum())


def make_splits(
    scenarios: Iterable[Scenario],
    by: By,
    *,
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15),
    sites: Mapping[str, Sequence[str]] | None = None,
    gap_seconds: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Split scenarios as the module's text says.

    Args:
        scenarios: Each is looked at once, and not kept. A scenario without a group is one of its own.
        by: `site`, `time` or `vehicle`.
        shares: Wanted shares of train, val and test: of the states (by site), of the time, or of the vehicles.
        sites: With `site`: which sites a split gets, by name of the split; the others are distributed.
        gap_seconds: With `time`: seconds that are left out after each cut.
        seed: With `vehicle`: of the draw.

    Raises:
        DataError: There are too few sites, a site is named that there is none of or that cannot be separated from one of another split.
    """
    total = sum(shares)
    if not total > 0 or min(shares) < 0:
        raise DataError(
            f"shares of train, val and test are {', '.join(f'{s:g}' for s in shares)}", "give three numbers, such as 0.7 0.15 0.15"
        )
    part = (shares[0] / total, shares[1] / total, shares[2] / total)
    entries = [_entry(s) for s in scenarios]
    if by == "site":
        spans = _by_site(entries, part, dict(sites or {}))
    elif by == "time":
        spans = _by_time(entries, part, gap_seconds)
    else:
        spans = {name: [(e, 0, e.steps) for e in entries] for name in NAMES}
    may = {(e.group, e.track[i]) for e in entries for i in np.flatnonzero(e.eligible).tolist()}
    owner = _drawn(entries, may, part, seed) if by == "vehicle" else _owners(spans)
    pieces: dict[str, tuple[SplitSection, ...]] = {}
    report: dict[str, dict[str, int]] = {}
    for name in NAMES:
        made: list[SplitSection] = []
        own, others, unscored = set[tuple[str, str]](), set[tuple[str, str]](), set[tuple[str, str]]()
        for entry, begin, end in spans[name]:
            shown = np.flatnonzero((entry.first < end) & (entry.end > begin))
            mine = [i for i in shown.tolist() if owner[entry.group, entry.track[i]] == name]
            scored = [i for i in mine if entry.eligible[i]]
            own |= {(entry.group, entry.track[i]) for i in scored}
            shown_names = {(entry.group, entry.track[i]) for i in shown.tolist()}
            others |= (shown_names & may) - own
            unscored |= shown_names - may
            # A piece without a vehicle of its own has nothing to score and, in training, nothing to show.
            if scored:
                made.append(SplitSection(entry.id, begin, end, None if len(mine) == len(shown) else tuple(mine)))
        pieces[name] = tuple(made)
        report[name] = {
            "pieces": len(made),
            "vehicles": len(own),
            "vehicles of other splits shown as context": len(others),
            "scenarios without a vehicle of the split": len(spans[name]) - len(made),
        }
        if unscored:
            report[name]["vehicles that no split may score"] = len(unscored)
    used = sum(end - begin for name in NAMES[: 1 if by == "vehicle" else 3] for _, begin, end in spans[name])
    report["train"]["steps left out between splits"] = sum(e.steps for e in entries) - used
    rule: dict[str, Any] = {"by": by, "shares": list(shares)}
    rule |= {"site": {"sites": dict(sites or {})}, "time": {"gap_seconds": gap_seconds}, "vehicle": {"seed": seed}}[by]
    return Splits(pieces, rule, report)


def _entry(s: Scenario) -> _Entry:
    # Scenarios that name no recording share none.
    group = s.group or f"\0{s.id}"
    eligible = np.ones(len(s.first), dtype=bool) if s.eligible is None else np.array(s.eligible)
    return _Entry(s.id, s.site, group, s.start, s.dt, s.steps, s.track, np.array(s.first), np.array(s.first + s.length), eligible)


def _places(entries: Sequence[_Entry]) -> list[list[_Entry]]:
    """Entries that share a site or a group, directly or through others; in order of appearance."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for e in entries:
        parent[root(f"group {e.group}")] = root(f"site {e.site}")
    found: dict[str, list[_Entry]] = {}
    for e in entries:
        found.setdefault(root(f"site {e.site}"), []).append(e)
    return list(found.values())


_Spans = dict[str, list[tuple[_Entry, int, int]]]


def _by_site(entries: Sequence[_Entry], shares: Sequence[float], wanted: dict[str, Sequence[str]]) -> _Spans:
    places = _places(entries)
    there = {e.site for e in entries}
    unknown = [s for names in wanted.values() for s in names if s not in there]
    if unknown:
        raise DataError(f"there is no site {', '.join(unknown)}", f"sites are {', '.join(sorted(there))}")
    chosen: dict[int, str] = {}
    for number, place in enumerate(places):
        sites = {e.site for e in place}
        asked = {split for split, names in wanted.items() if sites & set(names)}
        if len(asked) > 1:
            raise DataError(
                f"sites {', '.join(sorted(sites))} share recordings, but are to stand in {' and '.join(sorted(asked))}",
                "put them into one split, or split by time",
            )
        if asked:
            chosen[number] = asked.pop()
    states = [sum(e.states for e in place) for place in places]
    filled = {name: float(sum(states[i] for i, split in chosen.items() if split == name)) for name in NAMES}
    goal = {name: share * sum(states) for name, share in zip(NAMES, shares, strict=True)}
    free = sorted((i for i in range(len(places)) if i not in chosen), key=lambda i: (-states[i], min(e.site for e in places[i])))
    for rank, i in enumerate(free):
        # The last places go where there is nothing yet, so that no split that should hold something stays empty.
        empty = [n for n in NAMES if not filled[n] and goal[n] > 0]
        open_ = empty if len(free) - rank <= len(empty) else NAMES
        split = max(open_, key=lambda n: goal[n] - filled[n])
        chosen[i] = split
        filled[split] += states[i]
    lacking = [n for n in NAMES if not filled[n] and goal[n] > 0]
    if lacking:
        raise DataError(
            f"{len(places)} separate site(s) cannot fill {', '.join(lacking)}",
            "split by time or by vehicle, or add sites (those that share recordings count as one)",
        )
    spans: _Spans = {name: [] for name in NAMES}
    for i, place in enumerate(places):
        spans[chosen[i]] += [(e, 0, e.steps) for e in place]
    return spans


def _by_time(entries: Sequence[_Entry], shares: Sequence[float], gap: float) -> _Spans:
    spans: _Spans = {name: [] for name in NAMES}
    for place in _places(entries):
        groups: dict[str, list[_Entry]] = {}
        for e in place:
            groups.setdefault(e.group, []).append(e)
        # The recordings of a place one after another: where each begins on a common line of time, in seconds.
        shift: dict[str, float] = {}
        at = 0.0
        for name, members in groups.items():
            begin = min(e.start for e in members)
            shift[name] = at - begin
            at += max(e.stop for e in members) - begin
        edges = np.unique([shift[e.group] + t for e in place for t in (e.start, e.stop)])
        cuts = [_snap(at * sum(shares[:i]), edges, at) for i in (1, 2)]
        bounds = [(-math.inf, cuts[0]), (cuts[0] + gap, cuts[1]), (cuts[1] + gap, math.inf)]
        for e in place:
            for name, (low, high), share in zip(NAMES, bounds, shares, strict=True):
                zero = shift[e.group] + e.start
                begin, end = (0 if b == -math.inf else e.steps if b == math.inf else _step(b - zero, e) for b in (low, high))
                if begin < end and share > 0:
                    spans[name].append((e, begin, end))
    return spans


def _snap(cut: float, edges: NDArray[np.float64], total: float) -> float:
    """The nearest beginning or end of a scenario, where it is within 2 % of the whole, so that fewer windows are cut up; else `cut`."""
    nearest = float(edges[np.argmin(np.abs(edges - cut))])
    return nearest if abs(nearest - cut) <= 0.02 * total and 0 < nearest < total else cut


def _step(seconds: float, e: _Entry) -> int:
    """The first step at or after a time since the scenario's beginning, within the scenario."""
    return min(max(math.ceil(seconds / e.dt - 1e-6), 0), e.steps)


def _owners(spans: _Spans) -> dict[tuple[str, str], str]:
    """The first split, in the order of `NAMES`, that shows each vehicle."""
    owner: dict[tuple[str, str], str] = {}
    for name in NAMES:
        for e, begin, end in spans[name]:
            for i in np.flatnonzero((e.first < end) & (e.end > begin)).tolist():
                owner.setdefault((e.group, e.track[i]), name)
    return owner


def _drawn(entries: Sequence[_Entry], may: set[tuple[str, str]], shares: Sequence[float], seed: int) -> dict[tuple[str, str], str]:
    """Vehicles that may be scored, drawn for the splits in the wanted shares, of each group as of all; the others belong to train.

    Independent of the order of scenarios. One vehicle after another, group by group, goes to the split that lacks most, so that recordings
    of few vehicles fill all splits too.
    """

    def mixed(*names: str) -> bytes:
        return hashlib.blake2b("/".join((str(seed), *names)).encode(), digest_size=16).digest()

    owner = {(e.group, name): "train" for e in entries for name in e.track}
    counts = np.zeros(len(NAMES))
    places = {group: mixed(group) for group in {e.group for e in entries}}
    for vehicle in sorted(may, key=lambda v: (places[v[0]], mixed(*v))):
        split = int(np.argmax((counts.sum() + 1) * np.asarray(shares) - counts))
        counts[split] += 1
        owner[vehicle] = NAMES[split]
    return owner
