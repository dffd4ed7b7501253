"""Which tracks get a slot in a window, for many windows at once.

A track keeps one slot for its whole life inside a window. Which tracks get one, and in which order, depends only on what has happened up
to the last observed step: those seen by then stand in order of their number, those that enter later behind them. Where there are more
than the protocol allows, those farthest from the middle at the last observed step go without.

Tracks of all scenarios stand in one row here ("global numbers"); windows are pairs (scenario, first step).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from twm_core.data.scenario import INTERPOLATED, LEFT, NOT_ENTERED, OBSERVED, PADDING, Scenario
from twm_core.data.windows.gather import TrackRows
from twm_core.data.windows.protocol import Part, WindowProtocol

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Chosen(NamedTuple):
    """Tracks with a slot: the window `[N]` (0 to W - 1, ascending) and the global number `[N]` of each, in order of slots; and how many
    tracks of each window went without, `[W]`."""

    window: Ints
    track: Ints
    over: Ints


class Shown(NamedTuple):
    """What windows show of `N` tracks: scenario, row of the first step (which may lie outside the track), existence codes
    `[N, T]` and whether it exists `[N, T]`, type, number in the scenario, and whether the protocol scores it."""

    scenario: Ints
    row: Ints
    code: NDArray[np.uint8]
    exists: Bools
    type: Ints
    rank: Ints
    scored: Bools


class Memory:
    """Which candidates of crowded windows were chosen, one bit each: positions need not be looked up again every time.

    Args:
        candidates: Number of candidates of each window `[W]`, 0 where nothing is to be remembered.
    """

    def __init__(self, candidates: Ints) -> None:
        size = (candidates + 7) // 8
        self.begin = 8 * (np.cumsum(size) - size)
        self.bits = np.zeros(int(size.sum()), dtype=np.uint8)
        self.filled = np.zeros(len(candidates), dtype=bool)

    def put(self, number: Ints, rank: Ints, keep: Bools) -> None:
        """Remember of candidate `rank` `[N]` of window `number` `[N]` whether it was chosen; all candidates of a window at once."""
        at = self.begin[number] + rank
        np.bitwise_or.at(self.bits, at >> 3, keep.astype(np.uint8) << (at & 7).astype(np.uint8))
        self.filled[number] = True

    def get(self, number: Ints, rank: Ints) -> Bools:
        """What was remembered, `[N]`."""
        at = self.begin[number] + rank
        return (self.bits[at >> 3] >> (at & 7).astype(np.uint8) & 1).astype(bool)


class Slots:
    """Tracks of scenarios, and how a protocol chooses among them.

    Args:
        scenarios: Their tracks.
        parts: What the split may use of each scenario.
        protocol: How to choose.
    """

    def __init__(self, scenarios: Sequence[Scenario], parts: Sequence[Part | None], protocol: WindowProtocol) -> None:
        self.protocol = protocol
        count = np.asarray([len(s.first) for s in scenarios], dtype=np.int64)
        ends = np.cumsum(count)
        self.begin, self.total = ends - count, int(count.sum())
        self.scenario = np.repeat(np.arange(len(scenarios)), count)
        self.first, self.length, self.offset, kind = (
            np.concatenate([np.zeros(0, dtype=np.int64), *(getattr(s, name) for s in scenarios)])
            for name in ("first", "length", "offset", "type")
        )
        self.end = self.first + self.length
        own = [_own(s, p) for s, p in zip(scenarios, parts, strict=True)]
        eligible = [np.ones(len(s.first), dtype=bool) if s.eligible is None else s.eligible for s in scenarios]
        self.own = np.concatenate([np.zeros(0, dtype=bool), *own])
        self.eligible = self.own & np.concatenate([np.zeros(0, dtype=bool), *eligible])
        # Tracks that are observed at every step: most are, and their codes need not be looked up.
        self.simple = np.concatenate([np.zeros(0, dtype=bool), *(_always_observed(s) for s in scenarios)])
        self._all_simple = bool(self.simple.all())
        rank = np.arange(self.total) - np.repeat(self.begin, count)
        facts = np.stack([self.first, self.end, self.offset - self.first, self.scenario, kind, rank, self.eligible, self.simple], axis=1)
        # The last one, number -1, stands for padding.
        self._facts = np.concatenate([facts, [(0, 0, 0, 0, 0, -1, 0, 1)]]).astype(np.int32)
        steps = protocol.steps
        self._patterns = sliding_window_view(np.repeat(np.asarray([NOT_ENTERED, OBSERVED, LEFT, PADDING], dtype=np.uint8), steps), steps)
        self.codes = TrackRows([s.code for s in scenarios], protocol.steps)
        self._code = TrackRows([s.code for s in scenarios], 1)
        self._state = [TrackRows([s.state for s in scenarios if s.features == f], 1) for f in dict.fromkeys(s.features for s in scenarios)]
        self._layout, self._place, self._xy = _layouts(scenarios)

    def bounds(self, scenario: int, start: Ints) -> tuple[Ints, Ints]:
        """Global numbers between which all tracks of a scenario lie that windows starting at `start` `[W]` can show, `[W]` each.

        Narrow where tracks stand in order of appearance, which readers usually give, and right in any order.
        """
        a = int(self.begin[scenario])
        b = int(self.begin[scenario + 1]) if scenario + 1 < len(self.begin) else self.total
        latest_end = np.maximum.accumulate(self.end[a:b])
        earliest_first = np.minimum.accumulate(self.first[a:b][::-1])[::-1]
        low = a + np.searchsorted(latest_end, start, side="right")
        high = a + np.searchsorted(earliest_first, start + self._reach, side="left")
        return low, np.maximum(low, high)

    @property
    def _reach(self) -> int:
        return self.protocol.steps if self.protocol.entering else self.protocol.context

    def candidates(self, start: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints]:
        """Tracks that overlap windows, in order of slots: window and global number of each.

        Args:
            start: First step of each window, `[W]`.
            low: Bounds of its tracks, as `bounds` gives them, `[W]`.
            high: Likewise.
        """
        count = high - low
        window = np.repeat(np.arange(len(start)), count)
        track = np.arange(len(window)) + np.repeat(low - (np.cumsum(count) - count), count)
        first, begin = self.first[track], start[window]
        keep = (first < begin + self._reach) & (self.end[track] > begin)
        if not self.protocol.show_others:
            keep &= self.own[track]
        kept = np.flatnonzero(keep)
        window, track = window[kept], track[kept]
        late = first[kept] >= begin[kept] + self.protocol.context
        if late.any():
            # Tracks stand in any order in a scenario: without this, a newcomer's number would shift the slots of those already seen.
            order = np.argsort(2 * window + late, kind="stable")
            window, track = window[order], track[order]
        return window, track

    def choose(self, start: Ints, low: Ints, high: Ints, memory: Memory | None = None, number: Ints | None = None) -> Chosen:
        """The tracks that get a slot. Uses nothing after the last observed step.

        Args:
            start: As for `candidates`.
            low: Likewise.
            high: Likewise.
            memory: Where choices among too many candidates are kept for the next time.
            number: What the windows are called there, `[W]`.
        """
        window, track = self.candidates(start, low, high)
        count = np.bincount(window, minlength=len(start))
        over = np.maximum(count - self.protocol.max_agents, 0)
        if over.any():
            rank = np.arange(len(window)) - np.repeat(np.cumsum(count) - count, count)
            keep = np.ones(len(window), dtype=bool)
            new = over > 0 if memory is None or number is None else (over > 0) & ~memory.filled[number]
            if new.any():
                asked = np.flatnonzero(new[window])
                keep[asked] = self._nearest(window[asked], track[asked], start)
                if memory is not None and number is not None:
                    memory.put(number[window[asked]], rank[asked], keep[asked])
            if memory is not None and number is not None:
                known = np.flatnonzero(((over > 0) & ~new)[window])
                keep[known] = memory.get(number[window[known]], rank[known])
            window, track = window[keep], track[keep]
        return Chosen(window, track, over)

    def _nearest(self, window: Ints, track: Ints, start: Ints) -> Bools:
        """Whether each candidate is among the `max_agents` nearest to the middle of its window."""
        now = start[window] + self.protocol.context - 1
        since = now - self.first[track]
        late, row = since < 0, self.offset[track] + since
        present = ~late & (since < self.length[track])
        present[present] = exists_where(self._code.read(self.scenario[track[present]], row[present])[:, 0])
        at = np.zeros((len(track), 2), dtype=np.float32)
        at[present] = self._positions(track[present], row[present])
        _, group, size = np.unique(window, return_inverse=True, return_counts=True)
        middle = self._middles(at[present], group[present], start[window[np.cumsum(size) - size]])
        away = at - middle[group]
        distance = np.where(present, np.hypot(away[:, 0], away[:, 1]), np.inf)
        order = np.lexsort((track, distance, late, group))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
        near = np.zeros(len(track), dtype=bool)
        near[order[rank < self.protocol.max_agents]] = True
        return near

    def _positions(self, track: Ints, row: Ints) -> NDArray[np.float32]:
        scenario = self.scenario[track]
        layout, found = self._layout[scenario], np.empty((len(track), 2), dtype=np.float32)
        for number, reader in enumerate(self._state):
            mine = np.flatnonzero(layout == number)
            found[mine] = reader.read(self._place[scenario[mine]], row[mine])[:, 0, self._xy[number]]
        return found

    def _middles(self, at: NDArray[np.float32], group: Ints, start: Ints) -> NDArray[np.float32]:
        """Around which position agents are kept, `[G, 2]`, from the positions `[N, 2]` of those that are present in each group; 0 where
        nobody is."""
        present = np.bincount(group, minlength=len(start))
        begin = np.cumsum(present) - present
        middle = np.zeros((len(start), 2), dtype=np.float32)
        someone = present > 0
        begin, present = begin[someone], present[someone]
        if self.protocol.around_agent:
            # A large odd factor takes consecutive windows to agents that are far apart in the list.
            middle[someone] = at[begin + start[someone] * 7_919 % present]
            return middle
        for axis in (0, 1):
            ordered = at[np.lexsort((at[:, axis], group)), axis]
            middle[someone, axis] = (ordered[begin + (present - 1) // 2] + ordered[begin + present // 2]) / np.float32(2)
        return middle

    def show(self, track: Ints, start: Ints) -> Shown:
        """What windows show of tracks.

        Args:
            track: Global numbers `[N]`; -1 for padding.
            start: First step of the window of each, `[N]`.
        """
        # Everything about a track lies together: looking it up one by one costs several times as much.
        first, end, shift, scenario, kind, rank, eligible, simple = self._facts[track].T
        steps = self.protocol.steps
        enters, leaves = (np.minimum(np.maximum(step - start, 0), steps) for step in (first, end))
        # Where a track enters or leaves within the window, or does neither, its codes are a piece of one long row.
        at = 2 * steps - enters - leaves
        both = np.flatnonzero((enters > 0) & (leaves < steps))
        at[both] = steps - enters[both]
        at[track < 0] = 3 * steps
        code = self._patterns[at]
        for i in both.tolist():
            code[i, leaves[i] :] = LEFT
        row = shift + start
        need = steps if self.protocol.full else self.protocol.context
        scored = (enters == 0) & (leaves >= need) & (eligible != 0)
        if not self._all_simple:
            other = np.flatnonzero(simple == 0)
            some = code[other]
            np.copyto(some, self.codes.read(scenario[other], row[other]), where=some == OBSERVED)
            code[other] = some
            scored[other] &= exists_where(some[:, :need]).all(axis=1)
            return Shown(scenario, row, code, exists_where(code), kind, rank, scored)
        return Shown(scenario, row, code, code == OBSERVED, kind, rank, scored)

    def scored(self, track: Ints, start: Ints) -> Bools:
        """Whether the protocol scores tracks in windows, `[N]`; see `show`."""
        need = self.protocol.steps if self.protocol.full else self.protocol.context
        since = start - self.first[track]
        found = (since >= 0) & (self.end[track] - start >= need) & self.eligible[track]
        if not self._all_simple:
            other = np.flatnonzero(found & ~self.simple[track])
            code = self.codes.read(self.scenario[track[other]], self.offset[track[other]] + since[other])[:, :need]
            found[other] = exists_where(code).all(axis=1)
        return found


def exists_where(code: NDArray[np.uint8]) -> Bools:
    """Whether an agent exists where its code is this."""
    # Both codes at once: they follow one another, and what is below the first wraps around.
    return code - np.uint8(OBSERVED) <= np.uint8(INTERPOLATED - OBSERVED)


def _always_observed(scenario: Scenario) -> Bools:
    """Which tracks of a scenario are observed at each of their steps, `[N]`."""
    if not len(scenario.first):
        return np.zeros(0, dtype=bool)
    return ~np.logical_or.reduceat(scenario.code != OBSERVED, scenario.offset)


def _own(scenario: Scenario, part: Part | None) -> Bools:
    return np.ones(len(scenario.first), dtype=bool) if part is None or part.own is None else part.own


def _layouts(scenarios: Sequence[Scenario]) -> tuple[Ints, Ints, list[list[int]]]:
    """Scenarios with the same features share a layout: its number and the number within it for each, and where x and y stand in each."""
    numbers = {f: i for i, f in enumerate(dict.fromkeys(s.features for s in scenarios))}
    layout = np.asarray([numbers[s.features] for s in scenarios], dtype=np.int64)
    place, filled = np.zeros(len(scenarios), dtype=np.int64), [0] * len(numbers)
    for i, number in enumerate(layout.tolist()):
        place[i] = filled[number]
        filled[number] += 1
    return layout, place, [[f.index("x"), f.index("y")] for f in numbers]
