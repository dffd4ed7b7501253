"""Which files are trained on and which vehicles may be scored, without a leak through shared vehicles or shared moments.

Published CommonRoad windows of one recording overlap: the same vehicle drives through several files, and some files even show the same
seconds. Vehicles are therefore known by (recording, obstacle id), where the recording is the place without its number (all Peachtree
junctions are one recording, because vehicles drive from one to the next), and the split goes in three steps:

1. *Groups by time.* Files in which one vehicle has the same speeds at some time shift (ten steps in a row, of at least five different
   values) show the same moments. They form one group and stay in one split, so no moment of a test file is trained on.
2. *Cuts by time.* The groups of a recording stand in the order of their median obstacle id (ids are given in order of appearance) and
   are cut into three runs of groups, one per split. Of all cuts and orders of the splits the one is taken whose shares of states are
   nearest to 70 / 15 / 15 %, after the demands that test and val are not empty and that every site is trained on. Recordings of a
   single group are cut together, in order of name. There is no seed: the cut depends on the data only.
3. *Owners.* A vehicle belongs to the first of train, val, test in which a file shows it. Files of val and test score only the vehicles
   that they own; the others stay visible as context. Training files are complete scenes: nothing has to be hidden in them, because
   every vehicle they show is a training vehicle.

So no scored vehicle of val or test, and no second of their files, is an input or a target of training, and the epoch is chosen on
vehicles that are not in the test either.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twm_core.data.dataset import SPLITS

SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}
"""Wanted shares of a recording's states."""

MOST_CUTS = 24
"""Most places where a long recording is considered for a cut (evenly spread)."""

_MOMENT = 10
_DIFFERENT = 5


@dataclass(frozen=True)
class RecordedFile:
    """What the split needs to know about one file: its name, recording and site, and the speed of every vehicle at each of its steps."""

    name: str
    recording: str
    site: str
    speed: Mapping[str, NDArray[np.float64]]

    @property
    def order(self) -> tuple[float, str]:
        """Sorts the files of a recording by time of appearance, as far as obstacle ids tell."""
        numbers = [int(v) for v in self.speed if v.isdecimal()]
        return (float(np.median(numbers)) if numbers else 0.0, self.name)


@dataclass(frozen=True)
class Holdout:
    """The split of each file (by name), and the split that owns each vehicle (by recording and id)."""

    file: Mapping[str, str]
    owner: Mapping[tuple[str, str], str]
    groups: Sequence[Sequence[str]]


def hold_out(files: Sequence[RecordedFile]) -> Holdout:
    """Assign every file and every vehicle to a split, as the module's text says. Independent of the order of `files`."""
    pools: dict[str, list[list[RecordedFile]]] = {}
    for group in same_moments(files):
        pools.setdefault(group[0].recording, []).append(group)
    alone = [groups[0] for _, groups in sorted(pools.items()) if len(groups) == 1]
    split: dict[str, str] = {}
    for _, groups in sorted(pools.items()):
        if len(groups) > 1:
            split.update(_cut(sorted(groups, key=lambda g: (np.median([f.order[0] for f in g]), g[0].name))))
    if alone:
        split.update(_cut(alone))
    groups = sorted([f.name for f in g] for pool in pools.values() for g in pool)
    return Holdout(split, first_splits(files, split), groups)


def first_splits(files: Sequence[RecordedFile], split: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """The first split, in the order train, val, test, in which a file shows the vehicle."""
    owner: dict[tuple[str, str], str] = {}
    for name in SPLITS:
        for file in files:
            if split[file.name] == name:
                for vehicle in file.speed:
                    owner.setdefault((file.recording, vehicle), name)
    return owner


def same_moments(files: Sequence[RecordedFile]) -> list[list[RecordedFile]]:
    """Groups of files that show the same seconds of a recording, each sorted by name (see step 1 of the module's text)."""
    group = {f.name: f.name for f in files}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    first: dict[tuple[str, str, bytes], str] = {}
    for file in sorted(files, key=lambda f: f.name):
        for vehicle, speed in file.speed.items():
            if len(speed) < _MOMENT:
                continue
            moments = np.lib.stride_tricks.sliding_window_view(np.round(speed * 1000).astype(np.int64), _MOMENT)
            different = (np.diff(np.sort(moments, axis=1), axis=1) != 0).sum(axis=1) + 1
            for moment in moments[different >= _DIFFERENT]:
                other = first.setdefault((file.recording, vehicle, moment.tobytes()), file.name)
                if other != file.name:
                    group[root(file.name)] = root(other)
    found: dict[str, list[RecordedFile]] = {}
    for file in sorted(files, key=lambda f: f.name):
        found.setdefault(root(file.name), []).append(file)
    return list(found.values())


def _cut(groups: Sequence[Sequence[RecordedFile]]) -> dict[str, str]:
    """The split of every file of the groups, which stand in order of time (see step 2 of the module's text)."""
    shown = _Shown(groups)
    places = np.unique(np.linspace(0, len(groups), min(len(groups), MOST_CUTS) + 1).round().astype(int)).tolist()
    best: tuple[float, ...] | None = None
    chosen = np.zeros(len(groups), dtype=np.int64)
    for order in itertools.permutations(range(len(SPLITS))):
        for i, j in itertools.combinations_with_replacement(places, 2):
            split = np.repeat(order, (i, j - i, len(groups) - j))
            cost = shown.cost(split)
            if best is None or cost < best:
                best, chosen = cost, split
    return {f.name: SPLITS[number] for number, group in zip(chosen, groups, strict=True) for f in group}


class _Shown:
    """Which group shows which vehicle at how many states, as flat arrays, to compare many cuts quickly."""

    def __init__(self, groups: Sequence[Sequence[RecordedFile]]) -> None:
        rows = [(g, (f.recording, v), len(speed)) for g, group in enumerate(groups) for f in group for v, speed in f.speed.items()]
        number = {vehicle: n for n, vehicle in enumerate(dict.fromkeys(v for _, v, _ in rows))}
        self.group = np.asarray([g for g, _, _ in rows], dtype=np.int64)
        self.vehicle = np.asarray([number[v] for _, v, _ in rows], dtype=np.int64)
        self.states = np.asarray([n for _, _, n in rows], dtype=np.int64)
        self.sites = [{f.site for f in group} for group in groups]
        self.one_recording = len({f.recording for group in groups for f in group}) == 1

    def cost(self, split: NDArray[np.int64]) -> tuple[float, ...]:
        """What is wrong with giving group `g` to `SPLITS[split[g]]`, the worst first."""
        at = split[self.group]
        owner = np.full(self.vehicle.max() + 1, len(SPLITS))
        np.minimum.at(owner, self.vehicle, at)
        own = owner[self.vehicle] == at
        states = dict(zip(SPLITS, np.bincount(at[own], self.states[own], len(SPLITS)), strict=True))
        # Only the sites of one recording can be demanded in training: recordings that are cut together have one site each.
        trained = set[str]().union(*(s for s, n in zip(self.sites, split, strict=True) if SPLITS[n] == "train"))
        untrained = len(set[str]().union(*self.sites) - trained) if self.one_recording else 0
        far = sum(abs(float(states[name]) / float(self.states.sum()) - share) for name, share in SHARES.items())
        empty = [float(not states[name]) for name in ("train", "test", "val")]
        return (*empty, float(untrained), round(far, 9), -float(states["test"]))
