"""Checks that no two splits use the same recorded movement, by what scenarios hold and not by what they are called.

Training uses the tracks of its own, val and test the tracks that they may score; what a split shows as context only does not count.

* A scenario that two splits share must give each of them other rows.
* Of different scenarios the runs of movement are compared (`twm_core.data.windows.motion_runs`). They are the same recording where as many
as two
  tracks, of any split, move alike at one and the same shift in time; where one of the scenarios has a single track with a run, that
  track must be at the same place in the world too. Then no run may be used by two splits. Tracks that have a run in common with another
  one of their scenario say nothing and do not count.
* A scenario that equals another one, value by value, counts as the same, however short it is, if anything in it moves unevenly.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import INTERPOLATED, OBSERVED, Scenario
from twm_core.data.windows.motion_runs import VARIED, motion_runs
from twm_core.data.windows.protocol import Part
from twm_core.errors import DataError

MOST = 1 << 18
"""Rows of which every run is compared; of twice as many about every second run, and so on, so that the check stays short. The same runs
are chosen in every scenario."""

_NEAR = 0.01
"""Metres within which two positions in the world are the same."""

_HINT = "leave one of the two out, or put both into one split; twm data doctor names recordings that overlap"

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass
class _Use:
    """A scenario and what splits use of it: for each use the split's name, first step, step after the last one, and tracks `[N]`."""

    number: int
    scenario: Scenario
    uses: list[tuple[str, str, int, int, Bools]] = field(default_factory=list)


def check_splits(splits: Mapping[str, Sequence[Scenario]], parts: Mapping[str, Sequence[Part | None]]) -> None:
    """Compare what the splits use.

    Args:
        splits: Scenarios by split name.
        parts: For each of them what the split may use of it.

    Raises:
        DataError: Two splits use the same movement; scenarios, splits and tracks are named.
    """
    found = list(_distinct(splits, parts).values())
    if len({use[0] for each in found for use in each.uses}) < 2:
        return
    for each in found:
        _check_shared(each)
    names = list(splits)
    every = 1 << math.ceil(math.log2(max(1.0, sum(len(each.scenario.code) for each in found) / MOST)))
    _check_runs(_distinctive(np.concatenate([_runs(each, names, every) for each in found])), found, names)


def _distinct(splits: Mapping[str, Sequence[Scenario]], parts: Mapping[str, Sequence[Part | None]]) -> dict[bytes, _Use]:
    """Scenarios by their content, each with all its uses."""
    found: dict[bytes, _Use] = {}
    for split, scenarios in splits.items():
        for scenario, part in zip(scenarios, parts[split], strict=True):
            begin, end = (0, scenario.steps) if part is None else (part.begin, part.end)
            own = np.ones(len(scenario.first), dtype=bool) if part is None or part.own is None else part.own
            if split != "train" and scenario.eligible is not None:
                own = own & scenario.eligible
            use = found.setdefault(_content(scenario), _Use(len(found), scenario))
            use.uses.append((split, scenario.id, begin, end, own))
    return found


def _content(scenario: Scenario) -> bytes:
    """What tells a scenario from others: its tracks and positions, and its name where so little moves that others may look the same."""
    position, code = _position(scenario), scenario.code
    digest = hashlib.blake2b(digest_size=16)
    for array in (scenario.first, scenario.length, position, code):
        digest.update(np.ascontiguousarray(array).tobytes())
    origin = np.asarray(scenario.origin, dtype=np.float64)
    few = slice(1 << 12)
    step = np.hypot(*np.diff(position[few], axis=0).T)
    seen = ((code == OBSERVED) | (code == INTERPOLATED))[few]
    inside = seen[1:] & seen[:-1]
    inside[scenario.offset[(scenario.offset > 0) & (scenario.offset <= len(step))] - 1] = False
    even = len(np.unique(np.rint(1000 * step[inside]))) < VARIED
    digest.update(origin.tobytes() + (scenario.id.encode() if even else b""))
    return digest.digest()


def _position(scenario: Scenario) -> NDArray[np.float32]:
    columns = [scenario.features.index(name) for name in ("x", "y")]
    return np.asarray(scenario.state[:, columns])


def _check_shared(each: _Use) -> None:
    """Refuse a scenario that gives two splits the same rows."""
    scenario = each.scenario
    for (split, name, begin, end, own), (other, other_name, other_begin, other_end, other_own) in combinations(each.uses, 2):
        low, high = max(begin, other_begin), min(end, other_end)
        if split == other or low >= high:
            continue
        both = np.flatnonzero(own & other_own & (scenario.first < high) & (scenario.first + scenario.length > low))
        if len(both):
            raise DataError(
                f"scenario {name} in {split} and scenario {other_name} in {other} hold the same tracks: both use steps {low} to"
                f" {high - 1} of {len(both)} track(s), {scenario.track[int(both[0])]} among them",
                _HINT,
            )


def _runs(each: _Use, names: Sequence[str], every: int) -> Ints:
    """Runs of a scenario as rows: hash, scenario, track, step, row of the state, and the splits that use it as bits."""
    scenario = each.scenario
    row = np.flatnonzero((scenario.code == OBSERVED) | (scenario.code == INTERPOLATED))
    track = np.repeat(np.arange(len(scenario.length)), scenario.length)[row]
    step = scenario.first[track] + row - scenario.offset[track]
    follows = np.zeros(len(row), dtype=bool)
    follows[1:] = (np.diff(track) == 0) & (np.diff(step) == 1)
    runs = motion_runs(_position(scenario)[row].astype(np.float64), follows, every)
    begin, last = runs.begin, runs.end - 1
    used = np.zeros(len(begin), dtype=np.int64)
    for split, _, low, high, own in each.uses:
        inside = own[track[begin]] & (step[begin] > low) & (step[last] < high)
        used |= inside.astype(np.int64) << names.index(split)
    return np.stack([runs.hash, np.full(len(begin), each.number), track[begin], step[begin], row[begin], used], axis=1)


def _distinctive(rows: Ints) -> Ints:
    """The runs in order of their hash, without those of tracks that have a run twice or share one with a track of their scenario."""
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    again = (np.diff(rows[:, 0]) == 0) & (np.diff(rows[:, 1]) == 0)
    if not again.any():
        return rows
    common = np.append(again, False) | np.append(False, again)
    track = rows[:, 1] << 32 | rows[:, 2]
    return rows[~np.isin(track, track[common])]


def _check_runs(rows: Ints, found: Sequence[_Use], names: Sequence[str]) -> None:
    """Refuse scenarios that are pieces of one recording and give two splits the same run."""
    pairs = Counter((one[1], two[1], one[3] - two[3]) for one, two in _used_twice(rows))
    of = {number: rows[rows[:, 1] == number] for number in {n for pair in pairs for n in pair[:2]}}
    for (one, two, shift), _ in pairs.most_common():
        same = _alike(of[one], of[two], shift)
        alike = len({(a[2], b[2]) for a, b in same})
        least = min(len(np.unique(of[n][:, 2])) for n in (one, two))
        if alike < min(2, least):
            continue
        if least == 1:
            same = [(a, b) for a, b in same if _together(found[one].scenario, a[4], found[two].scenario, b[4])]
        twice = next(((a, b) for a, b in same if _two_splits(a[5], b[5])), None)
        if twice is not None:
            raise _error(twice, found, names, alike)


def _used_twice(rows: Ints) -> Iterator[tuple[list[int], list[int]]]:
    """Pairs of equal runs of two scenarios that two splits use."""
    begin = np.flatnonzero(np.append(True, np.diff(rows[:, 0]) != 0))[: len(rows)]
    size = np.diff(np.append(begin, len(rows)))
    if not len(begin):
        return
    together = np.bitwise_or.reduceat(rows[:, 5], begin)
    for b, n in zip(*(x[(size > 1) & (together & (together - 1) != 0)].tolist() for x in (begin, size)), strict=True):
        for one, two in combinations(rows[b : b + min(n, 64)].tolist(), 2):
            if _two_splits(one[5], two[5]):
                yield one, two


def _two_splits(one: int, two: int) -> bool:
    """Whether one run is used by a split that is not the other's."""
    return bool(one and two and (one | two) & ((one | two) - 1))


def _alike(one: Ints, two: Ints, shift: int) -> list[tuple[list[int], list[int]]]:
    """Equal runs of two scenarios at a shift in time."""
    _, a, b = np.intersect1d(one[:, 0], two[:, 0], assume_unique=True, return_indices=True)
    there = one[a, 3] - two[b, 3] == shift
    return list(zip(one[a[there]].tolist(), two[b[there]].tolist(), strict=True))


def _together(one: Scenario, row: int, two: Scenario, other: int) -> bool:
    """Whether two rows of scenarios lie at one place in the world."""
    place = [np.asarray(s.origin) + _position(s)[r] for s, r in ((one, row), (two, other))]
    return bool(np.hypot(*(place[0] - place[1])) < _NEAR)


def _error(twice: tuple[list[int], list[int]], found: Sequence[_Use], names: Sequence[str], alike: int) -> DataError:
    bits = twice[0][5], twice[1][5]
    pair = next((i, j) for i in range(len(names)) for j in range(len(names)) if i != j and bits[0] >> i & 1 and bits[1] >> j & 1)
    texts = []
    for (_, number, track, step, _, _), split in zip(twice, (names[i] for i in pair), strict=True):
        name = next(use[1] for use in found[number].uses if use[0] == split)
        texts.append((f"scenario {name} in {split}", f"track {found[number].scenario.track[track]} from step {step}"))
    (scenario, track), (other, other_track) = texts
    return DataError(
        f"{scenario} and {other} hold the same recorded movement: {track} is {other_track}, and {alike} track(s) move alike at this"
        " shift in time",
        _HINT,
    )
