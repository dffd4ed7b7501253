"""The doctor's checks across recordings: one number for several agents, recordings that overlap, units. Memory does not grow with rows.

Overlaps. Of the runs of each track (see `twm_core.data.windows.motion_runs`) every one whose hash is divisible by `m` is kept (both
recordings choose the same ones), with track and time; `m` doubles whenever more than `most` are kept. Two recordings overlap where tracks
share runs at one and the same shift in time. Runs of several tracks of one recording say nothing and do not count.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from twm_core.data import limits
from twm_core.data.doctor.findings import Example, Findings
from twm_core.data.doctor.motion import Sightings
from twm_core.data.windows.motion_runs import motion_runs
from twm_core.specs import AGENT_TYPES

_ENOUGH = 3
"""Agents of a type below which their median says nothing about units."""

_GROUPS = 64
"""Groups whose tracks are remembered, the newest ones."""


@dataclass(frozen=True)
class _Last:
    """Where a track was at the end of a recording of its group."""

    source: str
    start: float
    end: float
    x: float
    y: float
    type: int
    length: float


@dataclass
class Reuse:
    """Finds track names that mean several agents, between the recordings of one group."""

    groups: OrderedDict[str, dict[str, _Last]] = field(default_factory=OrderedDict)

    def add(self, sightings: Sightings, findings: Findings) -> None:
        """Compare the tracks of a recording with those of the same names before it."""
        recording = sightings.recording
        known = self.groups.setdefault(recording.group, {})
        self.groups.move_to_end(recording.group)
        if len(self.groups) > _GROUPS:
            self.groups.popitem(last=False)
        bounds = np.searchsorted(sightings.track, np.arange(len(recording.track) + 1))
        length = sightings.column("length")
        examples = []
        for i, name in enumerate(recording.track):
            begin, end = int(bounds[i]), int(bounds[i + 1])
            if begin == end:
                continue
            size = np.nan if length is None else float(np.median(length[begin:end]))
            kind = int(recording.type[i])
            if name in known:
                why = _another(known[name], sightings, begin, kind, size)
                if why:
                    examples.append(sightings.example(begin, f"{why}; before in {known[name].source}", 1.0))
            x, y = sightings.position[end - 1].tolist()
            known[name] = _Last(sightings.source, recording.start, recording.start + float(sightings.seconds[end - 1]), x, y, kind, size)
        findings.add("id-reuse", len(examples), examples)


def _another(last: _Last, sightings: Sightings, at: int, kind: int, size: float) -> str:
    """Why a track is not the agent that had its name before; empty if it may be."""
    if kind != last.type:
        return f"{AGENT_TYPES[kind]} here, {AGENT_TYPES[last.type]} before"
    if abs(size - last.length) > max(1.0, 0.2 * last.length):
        return f"length {size:.1f} m here, {last.length:.1f} m before"
    if sightings.recording.start == last.start and sightings.source != last.source:
        return ""  # files that all begin at 0 do not tell their times, nor, as windows of CommonRoad, a common frame
    between = sightings.recording.start + float(sightings.seconds[at]) - last.end
    if between < 0:
        return f"in both recordings at once, for {-between:.1f} s"
    far = float(np.hypot(*(sightings.position[at] - (last.x, last.y))))
    if far > limits.SPEED[kind] * between + limits.NOISE[kind]:
        return f"{far:.1f} m away {between:.1f} s later"
    return ""


@dataclass
class Overlaps:
    """Finds recordings that hold the same tracks.

    Args:
        most: Runs that are kept.
    """

    most: int = 1 << 20
    every: int = 4
    names: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    kept: list[NDArray[np.int64]] = field(default_factory=list)

    def add(self, sightings: Sightings) -> None:
        """Keep runs of the tracks of a recording: rows of (hash, recording, track, time in steps)."""
        runs = self._runs(sightings)
        if not len(runs):
            return
        used, runs[:, 2] = np.unique(runs[:, 2], return_inverse=True)
        self.names.append((sightings.source, sightings.recording.id, tuple(sightings.recording.track[i] for i in used.tolist())))
        self.kept.append(runs)
        while sum(map(len, self.kept)) > self.most:
            self.every *= 2
            self.kept = [np.concatenate(self.kept)]
            self.kept = [self.kept[0][self.kept[0][:, 0] % self.every == 0]]

    def _runs(self, sightings: Sightings) -> NDArray[np.int64]:
        found = motion_runs(sightings.position, sightings.behind(1) & (sightings.back(sightings.step.astype(np.float64), 1) == 1))
        kept = found.hash % self.every == 0
        at, number = found.begin[kept], found.hash[kept]
        time = sightings.step[at] + round(sightings.recording.start / sightings.recording.dt)
        return np.stack([number, np.full(len(at), len(self.names)), sightings.track[at], time], axis=1)

    def finish(self, findings: Findings) -> None:
        """Add the pairs of recordings that overlap."""
        if not self.kept:
            return
        runs = np.unique(np.concatenate(self.kept), axis=0)
        runs = runs[runs[:, 0] % self.every == 0]
        begin = np.flatnonzero(np.append(True, np.diff(runs[:, 0]) != 0))
        size = np.diff(np.append(begin, len(runs)))
        shared: dict[tuple[int, int, int], set[tuple[int, int]]] = defaultdict(set)
        for b, n in zip(begin[size > 1].tolist(), size[size > 1].tolist(), strict=True):
            same = runs[b : b + min(n, 64)]
            if len(np.unique(same[:, 1])) < len(same):  # two tracks of one recording move like that
                continue
            for one, two in combinations(same.tolist(), 2):
                shared[one[1], two[1], one[3] - two[3]].add((one[2], two[2]))
        best: dict[tuple[int, int], tuple[int, int]] = {}
        for (one, two, shift), pairs in shared.items():
            best[one, two] = max(best.get((one, two), (0, 0)), (len(pairs), shift))
        examples = []
        for (one, two), (count, shift) in best.items():
            needed = min(2, len(self.names[one][2]), len(self.names[two][2]))
            if count >= needed:
                examples.append(self._example(one, two, count, shift, min(shared[one, two, shift])))
        findings.add("overlap", len(examples), examples)

    def _example(self, one: int, two: int, count: int, shift: int, pair: tuple[int, int]) -> Example:
        (source, recording, tracks), (other, other_recording, other_tracks) = self.names[one], self.names[two]
        name = other if other_recording in ("", other) else f"{other} ({other_recording})"
        text = f"{count} track{'s' if count > 1 else ''} also in {name}, where it is track {other_tracks[pair[1]]}, {_shifted(shift)}"
        return Example(source, recording, text, float(count), track=tracks[pair[0]])


def _shifted(steps: int) -> str:
    return "at the same steps" if steps == 0 else f"{abs(steps)} steps {'earlier' if steps > 0 else 'later'}"


@dataclass
class Units:
    """Histograms of speeds and lengths by type, over everything that was examined."""

    edges: NDArray[np.float64] = field(default_factory=lambda: np.geomspace(1e-3, 1e6, 361))
    speeds: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    lengths: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    agents: Counter[int] = field(default_factory=Counter)

    def add(self, sightings: Sightings) -> None:
        """Count the speeds over half seconds, and the length of each track."""
        there = sightings.behind(sightings.window)
        self._count(self.speeds, sightings.type[there], np.hypot(*sightings.velocity(sightings.window).T)[there])
        self.agents.update(sightings.recording.type.tolist())
        length = sightings.column("length")
        if length is not None:
            _, first = np.unique(sightings.track, return_index=True)
            self._count(self.lengths, sightings.type[first], length[first])

    def _count(self, into: dict[int, NDArray[np.int64]], kinds: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        for kind in np.unique(kinds).tolist():
            chosen = values[(kinds == kind) & np.isfinite(values)]
            place = np.clip(np.searchsorted(self.edges, chosen), 0, len(self.edges) - 1)
            counts = np.bincount(place, minlength=len(self.edges))
            into[kind] = into[kind] + counts if kind in into else counts

    def finish(self, findings: Findings) -> None:
        """Add the types whose numbers do not look like metres."""
        examples = []
        car = AGENT_TYPES.index("car")
        length = self._quantile(self.lengths[car], 0.5) if car in self.lengths and self.agents[car] >= _ENOUGH else np.nan
        if not np.isnan(length) and not limits.CAR_LENGTH[0] <= length <= limits.CAR_LENGTH[1]:
            examples.append(self._example("car", f"cars are {length:.3g} long in the median{_unit(length / 4.6)}", length))
        everybody = sum(self.speeds.values(), start=np.zeros(len(self.edges), dtype=np.int64))
        if self.agents.total() >= _ENOUGH and everybody.sum() and self._moving(everybody).sum() < 0.01 * everybody.sum():
            fastest = self._quantile(everybody, 0.99)
            examples.append(self._example("everybody", f"only one in a hundred makes more than {fastest:.2g} a second: kilometres?", 0.0))
        for kind, counts in self.speeds.items():
            name = AGENT_TYPES[kind]
            median = self._quantile(self._moving(counts), 0.5)
            most, usual = (limits.WALKING, 1.35) if name == "pedestrian" else (limits.DRIVING, 12.0)
            if median > most and self.agents[kind] >= _ENOUGH:
                examples.append(self._example(name, f"moving ones make {median:.3g} a second in the median", median / usual))
        findings.add("units", len(examples), examples)

    def _moving(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(self.edges > limits.STANDING, counts, 0)

    def _quantile(self, counts: NDArray[np.int64], share: float) -> float:
        if not counts.sum():
            return float("nan")
        return float(self.edges[int(np.searchsorted(np.cumsum(counts), share * counts.sum()))])

    def _example(self, name: str, text: str, severity: float) -> Example:
        return Example("all sources", "", f"{name}: {text}", float(severity))


def _unit(ratio: float) -> str:
    """What unit a length may be in that is so many times too long."""
    for unit, size in (("feet", 1 / 0.3048), ("centimetres", 100.0), ("millimetres", 1000.0)):
        if abs(ratio / size - 1) < 0.2:
            return f", as if in {unit}"
    return ", as if in pixels" if ratio > 1 else ""
