"""Windows over scenarios: the stretches that a protocol uses, and how they become batches.

A window is a view `(scenario, first step)`; nothing is copied until a batch is made, and then once: what one agent shows in a window is
one stretch of rows (see `twm_core.data.windows.gather`), and arrays lie in memory as `[B,A,T,...]`. Batches give them as `[B,T,A,...]`
without moving anything, so they are not contiguous. Which agents get a slot is decided by `twm_core.data.windows.slots`, once where the
windows are found, unless windows are crops or there are too many slots to keep them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from twm_core.data.dataset import Batch, Windows
from twm_core.data.roads.map_crops import MapCrops, RasterOptions
from twm_core.data.scenario import PADDING, Scenario
from twm_core.data.windows.gather import TrackRows
from twm_core.data.windows.protocol import Counts, Part, WindowProtocol
from twm_core.data.windows.slots import Memory, Slots
from twm_core.errors import DataError

_DERIVED = ("vx", "vy", "ax", "ay", "yaw_rate")
_BACKWARD = ("ax", "ay", "yaw_rate")

_AT_ONCE = 1 << 17
"""About how many agents are looked at together when windows are counted: what bounds the memory that this takes."""

_KEPT = 1 << 24
"""Most slots of a split whose agents are kept (64 MiB); where there are more, agents are chosen again for every batch."""

_UNANCHORED = "windows that would start from interpolated steps"

Ints = NDArray[np.int64]


class ScenarioWindows(Windows):
    """The windows that a protocol cuts from scenarios.

    Args:
        scenarios: Where to cut. Their arrays may be memory maps: cutting reads existence codes, and positions only where a window has
            more agents than it may show.
        protocol: How to cut.
        split: Name of the split, for messages and for what the protocol expects.
        raster: Size of the map raster that each window gets; None gives none.
        parts: What the split may use of each scenario; all of it by default.
        features: Columns of `agents.state`; those of the first scenario by default. What a scenario lacks is 0.
        keys: Keys that batches hold; all by default.
        lane_tokens: For each scenario the tokens `[L + 1]` of what its `lane` holds; None where that holds tokens.

    Raises:
        DataError: No window has an agent to score, the counts are not those that the protocol expects, or a raster is asked for where a
            scenario has no road map.
    """

    def __init__(
        self,
        scenarios: Sequence[Scenario],
        protocol: WindowProtocol,
        split: str,
        raster: RasterOptions | None = None,
        *,
        parts: Sequence[Part | None] | None = None,
        features: tuple[str, ...] | None = None,
        keys: Collection[str] | None = None,
        lane_tokens: Sequence[Ints | None] | None = None,
    ) -> None:
        self.scenarios = tuple(scenarios)
        self.protocol = protocol
        self.features = features or (self.scenarios[0].features if self.scenarios else ())
        self.keys = keys
        self.maps = None if raster is None else MapCrops(self.scenarios, raster)
        self.parts = tuple(parts) if parts is not None else (None,) * len(self.scenarios)
        self._report: dict[str, int] = {"scenarios": len(self.scenarios), "windows": 0}
        self.index = np.zeros((0, 2), dtype=np.int64)
        self._bounds = np.zeros((0, 2), dtype=np.int64)
        if not self.scenarios:
            raise self._empty(split)
        self._slots = Slots(self.scenarios, self.parts, protocol)
        self._read = _Columns(self.scenarios, self.features, protocol.steps, lane_tokens)
        self._cut()
        self._site = np.asarray([s.site_token for s in self.scenarios], dtype=np.int64)
        self._dt = np.asarray([s.dt for s in self.scenarios], dtype=np.float32)
        if not len(self.index):
            raise self._empty(split)
        if protocol.expects:
            protocol.check(split, Counts(windows=len(self.index), agents=self._report["agents"]))

    def _empty(self, split: str) -> DataError:
        protocol, report = self.protocol, self._report
        hint = "use shorter windows, another split or more data"
        if report.get(_UNANCHORED):
            hint = (
                "these steps hold positions interpolated from later ones, so no prediction starts there: import again with"
                " --reader.trust_interpolation, where the reader has it, or take the data's own time step as dataset.dt, or use shorter"
                " windows"
            )
        elif self.scenarios and not self._slots.eligible.any():
            hint = "the split has no track that may be scored: give it a larger share (twm data split), or add data"
        return DataError(
            f"split {split!r} has no window of {protocol.steps} steps with {protocol.min_scored} agent(s) to score: {report}", hint
        )

    def __len__(self) -> int:
        return len(self.index)

    def report(self) -> dict[str, int]:
        return dict(self._report)

    def _cut(self) -> None:
        """Find all windows and count what is in them."""
        protocol, report = self.protocol, self._report
        found: list[Ints] = []
        too_short = unanchored = 0
        for number, (scenario, part) in enumerate(zip(self.scenarios, self.parts, strict=True)):
            begin, end = (0, scenario.steps) if part is None else (part.begin, part.end)
            if end - begin < protocol.steps:
                too_short += 1
                continue
            start = np.arange(begin, end - protocol.steps + 1, protocol.stride)
            if scenario.anchors is not None:
                moved = _anchored(start, scenario.anchors, begin, end, protocol)
                unanchored += len(start) - len(moved)
                start = moved
            low, high = self._slots.bounds(number, start)
            found.append(np.stack([np.full(len(start), number), start, low, high], axis=1))
        every = np.concatenate(found) if found else np.zeros((0, 4), dtype=np.int64)
        most = every[:, 3] - every[:, 2]
        self._memory: Memory | None = Memory(np.where(most > protocol.max_agents, most, 0))
        scored, over, kept = self._count(every)
        keep = scored >= protocol.min_scored
        self._kept = None if kept is None else kept.of(keep)
        if kept is not None:
            self._memory = None
        self._number = np.flatnonzero(keep)
        self.index, self._bounds = every[keep, :2], every[keep, 2:]
        crops = protocol.around_agent and bool(over[keep].any())
        report |= {
            "windows": int(keep.sum()),
            "agents at most" if crops else "agents": int(scored[keep].sum()),
            "scenarios shorter than a window": too_short,
            "windows without enough agents to score": int((~keep).sum()),
            "agents outside crops of train_agents" if protocol.around_agent else "agents dropped over max_agents": int(over[keep].sum()),
        }
        if any(s.anchors is not None for s in self.scenarios):
            report[_UNANCHORED] = unanchored
        if not protocol.show_others:
            report["tracks of other splits left out"] = int((~self._slots.own).sum())

    def _count(self, windows: Ints) -> tuple[Ints, Ints, _Kept | None]:
        """Scored agents and agents without a slot of windows `(scenario, start, low, high)` `[W, 4]`, `[W]` each; and who has a slot, where
        that is known of all windows and not too much to keep.

        For crops, whose agents could only be known from all positions, the first is the most that there can be, unless whether the window
        counts depends on it.
        """
        scored, over, count = (np.zeros(len(windows), dtype=np.int64) for _ in range(3))
        kept: list[NDArray[np.int32]] = []
        small = not self.protocol.around_agent and len(self._slots.first) < np.iinfo(np.int32).max
        size = np.cumsum(windows[:, 3] - windows[:, 2])
        edges = np.searchsorted(size, np.arange(_AT_ONCE, int(size[-1]) + _AT_ONCE, _AT_ONCE)) if len(size) else np.zeros(0, dtype=np.int64)
        begin = 0
        for end in np.unique(np.append(edges, len(windows))).tolist():
            part = windows[begin:end]
            if not len(part):
                continue
            slots, (start, low, high), most = self._slots, part[:, 1:].T, self.protocol.max_agents
            if self.protocol.around_agent:
                every = self._scored(start, *slots.candidates(start, low, high))
                without = np.maximum(np.bincount(every[0], minlength=len(start)) - most, 0)
                can = np.bincount(every[0][every[1]], minlength=len(start))
                open_ = np.flatnonzero((can >= self.protocol.min_scored) & (can - without < self.protocol.min_scored))
                can = np.minimum(can, most)
                if len(open_):
                    chosen = slots.choose(start[open_], low[open_], high[open_], self._memory, begin + open_)
                    one = self._scored(start[open_], chosen.window, chosen.track)
                    can[open_] = np.bincount(one[0][one[1]], minlength=len(open_))
                scored[begin:end], over[begin:end] = can, without
            else:
                chosen = slots.choose(start, low, high, self._memory, np.arange(begin, end))
                one = self._scored(start, chosen.window, chosen.track)
                scored[begin:end], over[begin:end] = np.bincount(one[0][one[1]], minlength=len(start)), chosen.over
                count[begin:end] = np.bincount(chosen.window, minlength=len(start))
                small = small and int(count.sum()) <= _KEPT
                kept = [*kept, chosen.track.astype(np.int32)] if small else []
            begin = end
        tracks = np.concatenate([np.zeros(0, dtype=np.int32), *kept])
        return scored, over, _Kept(np.cumsum(count) - count, count, tracks) if small else None

    def _scored(self, start: Ints, window: Ints, track: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """The windows again, and whether each track `[N]` is scored in its window."""
        return window, self._slots.scored(track, start[window])

    def batch(self, indices: Sequence[int]) -> Batch:
        picked = np.asarray(indices, dtype=np.int64)
        number, start = self.index[picked].T
        steps, size = self.protocol.steps, len(picked)
        kept = self._kept
        if kept is not None:
            begin, count, tracks = kept.begin[picked], kept.count[picked], kept.track
        else:
            low, high = self._bounds[picked].T
            chosen = self._slots.choose(start, low, high, self._memory, self._number[picked])
            count = np.bincount(chosen.window, minlength=size)
            begin, tracks = np.cumsum(count) - count, chosen.track
        agents = max(int(count.max(initial=0)), 1)
        slot = np.arange(agents)
        track = np.full((size, agents), -1, dtype=np.int64)
        if len(tracks):
            np.copyto(track, tracks[np.minimum(begin[:, None] + slot, len(tracks) - 1)], where=slot < count[:, None])
        arrays = self._agents(number, start, track.reshape(-1), agents)
        is_first = np.zeros((size, steps), dtype=bool)
        is_first[:, 0] = True
        arrays |= {"site": self._site[number], "dt": self._dt[number], "is_first": is_first, "scenario": number.copy()}
        if self.maps is not None:
            seen = self.protocol.context
            state, exists = arrays["agents.state"], arrays["agents.exists"]
            crops = [
                self.maps.window(self.scenarios[n], state[b, :seen], exists[b, :seen], self.features) for b, n in enumerate(number.tolist())
            ]
            arrays["map.raster"] = np.stack([raster for raster, _ in crops])
            arrays["map.pose"] = np.stack([pose for _, pose in crops])
        return {k: torch.from_numpy(v) for k, v in arrays.items() if self.keys is None or k in self.keys}

    def _agents(self, number: Ints, start: Ints, track: Ints, agents: int) -> dict[str, NDArray[Any]]:
        """What a batch says about agents; `track` has the global number in each slot `[B A]`, -1 for padding."""
        size = len(number)
        begin = np.repeat(start, agents)
        real = np.flatnonzero(track >= 0)
        # Reading anything for a few padding slots is cheaper than moving all others.
        sparse = len(real) < 0.8 * len(track)
        every = len(track)
        if sparse:
            track, begin = track[real], begin[real]
        scenario, row, code, exists, kind, rank, scored = self._slots.show(track, begin)
        if not sparse and len(real) < every:
            # Anything is what was read just before: it is still in the cache.
            padding = np.flatnonzero(track < 0)
            scenario[padding], row[padding] = (scenario[real[0]], row[real[0]]) if len(real) else (0, 0)
        found: dict[str, NDArray[Any]] = {
            "agents.state": self._read.state(scenario, row, exists),
            "agents.exists": exists,
            "agents.code": code,
            "agents.type": kind.astype(np.int64),
            "agents.scored": scored,
            "agents.track": rank.astype(np.int64),
        }
        if self.keys is None or "agents.lane" in self.keys:
            found["agents.lane"] = self._read.lane(scenario, row, exists)
        if self._read.action is not None and (self.keys is None or "action" in self.keys):
            found["action"] = _only_where(exists, self._read.action.read(scenario, row))
        for key, value in found.items():
            if sparse:
                compact, value = value, np.full((every, *value.shape[1:]), _PADDING.get(key, 0), dtype=value.dtype)
                value[real] = compact
            value = value.reshape(size, agents, *value.shape[1:])
            found[key] = value.swapaxes(1, 2) if value.ndim > 2 else value
        if self.protocol.self_contained:
            self._forget_before(found["agents.state"], self.features, self.protocol.still_speed)
            found["agents.state"][~found["agents.exists"]] = 0
        return found

    @staticmethod
    def _forget_before(state: NDArray[np.float32], features: tuple[str, ...], still_speed: float | None) -> None:
        """Remove what came from before the window: differences with it, and headings carried over from it (see `still_speed`)."""
        for name in _DERIVED:
            if name in features:
                state[:, : 2 if name in _BACKWARD else 1, :, features.index(name)] = 0
        if "fresh" in features:
            state[:, 0, :, features.index("fresh")] = 1
        if still_speed is not None:
            vx, vy = (state[..., features.index(n)] for n in ("vx", "vy"))
            known = np.logical_or.accumulate(np.hypot(vx, vy) >= np.float32(still_speed), axis=1)
            state[..., features.index("heading")][~known] = 0
            if "yaw_rate" in features:
                # The first known heading has no earlier one inside the window to turn from.
                state[:, 1:, :, features.index("yaw_rate")][~known[:, :-1]] = 0


def _anchored(start: Ints, anchors: NDArray[np.bool_], begin: int, end: int, protocol: WindowProtocol) -> Ints:
    """The starts moved on to the next one whose context ends at an anchor; those without one before the next start are left out."""
    possible = np.arange(begin, end - protocol.steps + 1)
    possible = possible[anchors[possible + protocol.context - 1]]
    at = np.searchsorted(possible, start)
    moved = possible[at[at < len(possible)]]
    return np.unique(moved[moved < start[: len(moved)] + protocol.stride])


class _Kept(NamedTuple):
    """Who has a slot in each of `W` windows: tracks `begin .. begin + count - 1` of a long row of global numbers."""

    begin: Ints
    count: Ints
    track: NDArray[np.int32]

    def of(self, keep: NDArray[np.bool_]) -> _Kept:
        """The same of some windows `[W]`."""
        return _Kept(self.begin[keep], self.count[keep], self.track)


_PADDING = {"agents.code": PADDING, "agents.track": -1}
"""What padding slots hold, where it is not 0."""


class _Columns:
    """Reads states, lanes and actions of stretches, whatever columns each scenario has."""

    def __init__(
        self, scenarios: Sequence[Scenario], features: tuple[str, ...], steps: int, lane_tokens: Sequence[Ints | None] | None
    ) -> None:
        self.features, self.steps = features, steps
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, scenario in enumerate(scenarios):
            groups.setdefault(scenario.features, []).append(i)
        self.layout, self.place = (np.zeros(len(scenarios), dtype=np.int64) for _ in range(2))
        self.readers: list[tuple[TrackRows, list[int], list[int]]] = []
        for number, (names, members) in enumerate(groups.items()):
            self.layout[members], self.place[members] = number, np.arange(len(members))
            shared = [n for n in features if n in names]
            reader = TrackRows([scenarios[i].state for i in members], steps)
            self.readers.append((reader, [names.index(n) for n in shared], [features.index(n) for n in shared]))
        self.whole = len(groups) == 1 and scenarios[0].features == features
        # Lanes: what a scenario's rows hold, and the token behind it.
        self.no_lane = np.asarray([s.lane is None for s in scenarios])
        self.lanes: list[tuple[TrackRows, Ints]] = []
        self.lane_place = np.zeros(len(scenarios), dtype=np.int64)
        for dtype in {s.lane.dtype for s in scenarios if s.lane is not None}:
            members = [i for i, s in enumerate(scenarios) if s.lane is not None and s.lane.dtype == dtype]
            self.lane_place[members] = np.arange(len(members))
            self.lanes.append((TrackRows([_lane(scenarios[i]) for i in members], steps), np.asarray(members)))
        # All tables of tokens in a row, each once, and where that of each scenario begins; -1 where rows hold tokens.
        tables = {id(t): t for t in lane_tokens or () if t is not None}
        ends = np.cumsum([len(t) for t in tables.values()], dtype=np.int64)
        begins = {key: int(end) - len(t) for (key, t), end in zip(tables.items(), ends, strict=True)}
        self.tokens = np.concatenate([np.zeros(0, dtype=np.int64), *tables.values()])
        self.token_begin = np.asarray([-1 if t is None else begins[id(t)] for t in lane_tokens or [None] * len(scenarios)], dtype=np.int64)
        self.action: TrackRows | None = None
        actions = [s.action for s in scenarios if s.action is not None]
        if actions:
            # Scenarios without actions get a table of none, and zeros.
            empty = np.zeros((0, actions[0].shape[1]), dtype=actions[0].dtype)
            self.action = TrackRows([empty if s.action is None else s.action for s in scenarios], steps)

    def state(self, scenario: Ints, row: Ints, exists: NDArray[np.bool_]) -> NDArray[np.float32]:
        """`[N, T, F]`, 0 where agents do not exist."""
        if self.whole:
            found: NDArray[np.float32] = self.readers[0][0].read(scenario, row)
            return _only_where(exists, found)
        found = np.zeros((len(scenario), self.steps, len(self.features)), dtype=np.float32)
        layout = self.layout[scenario]
        for number, (reader, source, target) in enumerate(self.readers):
            mine = np.flatnonzero(layout == number)
            if len(mine):
                rows = reader.read(self.place[scenario[mine]], row[mine])
                found[mine[:, None, None], np.arange(self.steps)[:, None], np.asarray(target)] = rows[..., source]
        return _only_where(exists, found)

    def lane(self, scenario: Ints, row: Ints, exists: NDArray[np.bool_]) -> Ints:
        """Lane tokens `[N, T]`, 0 where agents do not exist or no lane is known."""
        found = np.zeros((len(scenario), self.steps), dtype=np.int64)
        for reader, members in self.lanes:
            mine = np.flatnonzero(np.isin(scenario, members)) if len(members) < len(self.no_lane) else np.arange(len(scenario))
            found[mine] = reader.read(self.lane_place[scenario[mine]], row[mine])
        found[~exists] = 0
        if len(self.tokens):
            begin = self.token_begin[scenario][:, None]
            found = np.where((begin >= 0) & exists, self.tokens[np.where(exists, found + begin, 0).clip(0)], found)
        return found


def _lane(scenario: Scenario) -> NDArray[np.int64]:
    assert scenario.lane is not None
    return scenario.lane


def _only_where(exists: NDArray[np.bool_], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """`rows` `[N, T, F]`, changed in place: zeros where not `exists` `[N, T]`."""
    if rows.size:
        # One item for each row: NumPy then writes runs of rows, 7 times as fast as with a mask that is broadcast over features.
        items = rows.reshape(-1).view(np.dtype((np.void, rows.shape[-1] * rows.itemsize)))
        items[~exists.reshape(-1)] = np.zeros((), dtype=items.dtype)
    return rows
