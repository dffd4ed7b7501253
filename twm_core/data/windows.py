"""Windows over scenarios: which stretches a protocol uses, and how they become batches.

A window is a view `(scenario, t0)`; nothing is copied until a batch is made. A track keeps one slot for its whole life inside a
window. Which agents get a slot, and in which order, depends only on what has happened up to the last observed step (agents that
enter later follow behind), so the future cannot leak into the inputs through the slots.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from twm_core.data.augmentation import augment_traffic
from twm_core.data.dataset import Batch, Dataset, Windows
from twm_core.data.map_crops import MapCrops, RasterOptions, road_digest, road_of
from twm_core.data.scenario import INTERPOLATED, LEFT, NOT_ENTERED, OBSERVED, PADDING, Scenario
from twm_core.errors import DataError
from twm_core.specs import ActionSpec, ObservationSpec

_DERIVED = ("vx", "vy", "ax", "ay", "yaw_rate")
_BACKWARD = ("ax", "ay", "yaw_rate")


@dataclass(frozen=True, kw_only=True)
class WindowProtocol:
    """Which windows there are and which agents count.

    Attributes:
        context: Observed steps.
        horizon: Predicted steps.
        stride: Steps between the starts of two windows of one scenario.
        max_agents: Most slots in a window; those farthest from the middle are dropped.
        around_agent: The middle is an agent, another one in each window (for training on crops), instead of the median position.
        min_scored: A window counts only with at least this many scored agents.
        full: Score only agents that exist at every step of the window (pedestrian protocols); else those that exist at every
            observed step, at the steps where they exist.
        self_contained: Nothing from before the window may be used: derivatives at its first step become 0 and `fresh` is set.
        entering: Whether agents that enter after the observed steps get a slot (needed to learn births; never scored).
        still_speed: For datasets whose headings are directions of displacements: the speed (m/s) below which a heading is carried over
            from the step before. With `self_contained`, a heading carried into the window from before it becomes 0.
    """

    context: int
    horizon: int
    stride: int
    max_agents: int = 64
    around_agent: bool = False
    min_scored: int = 1
    full: bool = False
    self_contained: bool = False
    entering: bool = True
    still_speed: float | None = None

    @property
    def steps(self) -> int:
        """Steps of a window."""
        return self.context + self.horizon


class ScenarioWindows(Windows):
    """The windows that a protocol cuts from scenarios.

    Args:
        scenarios: Where to cut.
        protocol: How to cut.
        split: Name of the split, for messages.
        raster: Size of the map raster that each window gets; None gives none.

    Raises:
        DataError: No window has an agent to score, or a raster is asked for where a scenario has no road map.
    """

    def __init__(self, scenarios: Sequence[Scenario], protocol: WindowProtocol, split: str, raster: RasterOptions | None = None) -> None:
        self.scenarios = tuple(scenarios)
        self.protocol = protocol
        self.maps = None if raster is None else MapCrops(self.scenarios, raster)
        starts: list[NDArray[np.int64]] = []
        scored = dropped = without = too_short = 0
        for number, scenario in enumerate(self.scenarios):
            if scenario.steps < protocol.steps:
                too_short += 1
                continue
            kept: list[int] = []
            for t0 in range(0, scenario.steps - protocol.steps + 1, protocol.stride):
                counted, over = self._count(scenario, t0)
                if counted < protocol.min_scored:
                    without += 1
                    continue
                kept.append(t0)
                scored += counted
                dropped += over
            starts.append(np.stack([np.full(len(kept), number), np.asarray(kept, dtype=np.int64)], axis=1).astype(np.int64))
        self.index = np.concatenate(starts) if starts else np.zeros((0, 2), dtype=np.int64)
        self._report = {
            "scenarios": len(self.scenarios),
            "windows": len(self.index),
            "agents": scored,
            "scenarios shorter than a window": too_short,
            "windows without enough agents to score": without,
            "agents outside crops of train_agents" if protocol.around_agent else "agents dropped over max_agents": dropped,
        }
        if not len(self.index):
            raise DataError(
                f"split {split!r} has no window of {protocol.steps} steps with {protocol.min_scored} agent(s) to score: {self._report}",
                "use shorter windows, another split or more data",
            )

    def __len__(self) -> int:
        return len(self.index)

    def report(self) -> dict[str, int]:
        return dict(self._report)

    def _exists(
        self, scenario: Scenario, tracks: NDArray[np.int64], t0: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Row of each (track, step), whether the track covers the step, and whether the agent exists there. Shapes `[N, T]`."""
        t = t0 + np.arange(self.protocol.steps)[None, :]
        since = t - scenario.first[tracks, None]
        inside = (since >= 0) & (since < scenario.length[tracks, None])
        rows = np.where(inside, scenario.offset[tracks, None] + since, 0)
        code = scenario.code[rows]
        return rows, inside, inside & ((code == OBSERVED) | (code == INTERPOLATED))

    def _scored(self, scenario: Scenario, tracks: NDArray[np.int64], exists: NDArray[np.bool_]) -> NDArray[np.bool_]:
        present = np.all(exists if self.protocol.full else exists[:, : self.protocol.context], axis=1)
        return present if scenario.eligible is None else present & scenario.eligible[tracks]

    def _overlapping(self, scenario: Scenario, t0: int) -> NDArray[np.int64]:
        last = t0 + (self.protocol.steps if self.protocol.entering else self.protocol.context)
        return np.flatnonzero((scenario.first < last) & (scenario.first + scenario.length > t0))

    def _count(self, scenario: Scenario, t0: int) -> tuple[int, int]:
        tracks, over = self._choose(scenario, t0)
        if not len(tracks):
            return 0, over
        _, _, exists = self._exists(scenario, tracks, t0)
        return int(self._scored(scenario, tracks, exists).sum()), over

    def _choose(self, scenario: Scenario, t0: int) -> tuple[NDArray[np.int64], int]:
        """Tracks that get a slot, in slot order, and how many were dropped. Uses nothing after the last observed step."""
        tracks = self._overlapping(scenario, t0)
        late = scenario.first[tracks] >= t0 + self.protocol.context
        # Tracks stand in any order in a scenario: without this, a newcomer's track number would shift the slots of those already seen.
        tracks = np.concatenate([tracks[~late], tracks[late]])
        most = self.protocol.max_agents
        if len(tracks) <= most:
            return tracks, 0
        rows, _, exists = self._exists(scenario, tracks, t0)
        now = self.protocol.context - 1
        x, y = scenario.features.index("x"), scenario.features.index("y")
        at = scenario.state[rows[:, now]][:, [x, y]]
        present = exists[:, now]
        centre = self._middle(at[present], t0) if present.any() else np.zeros(2)
        distance = np.where(present, np.hypot(*(at - centre).T), np.inf)
        order = np.lexsort((tracks, distance, np.sort(late)))[:most]
        return tracks[np.sort(order)], len(tracks) - most

    def _middle(self, at: NDArray[np.float32], t0: int) -> NDArray[np.float32]:
        """Around which position `[2]` agents are kept, of those that are present, `[N, 2]`."""
        if self.protocol.around_agent:
            # A large odd factor takes consecutive windows to agents that are far apart in the list.
            return at[t0 * 7_919 % len(at)]
        return np.median(at, axis=0)

    def batch(self, indices: Sequence[int]) -> Batch:
        picked = [self.index[i] for i in indices]
        slots = [self._choose(self.scenarios[n], int(t0))[0] for n, t0 in picked]
        agents = max((len(s) for s in slots), default=1) or 1
        steps, first = self.protocol.steps, self.scenarios[int(picked[0][0])]
        size, width = len(picked), len(first.features)
        state = np.zeros((size, steps, agents, width), dtype=np.float32)
        exists = np.zeros((size, steps, agents), dtype=bool)
        code = np.full((size, steps, agents), PADDING, dtype=np.uint8)
        kind = np.zeros((size, agents), dtype=np.int64)
        track = np.full((size, agents), -1, dtype=np.int64)
        scored = np.zeros((size, agents), dtype=bool)
        lane = np.zeros((size, steps, agents), dtype=np.int64)
        action = None if first.action is None else np.zeros((size, steps, agents, first.action.shape[1]), dtype=np.float32)
        for b, ((number, t0), tracks) in enumerate(zip(picked, slots, strict=True)):
            scenario, n = self.scenarios[int(number)], len(tracks)
            if not n:
                continue
            rows, inside, here = self._exists(scenario, tracks, int(t0))
            before = int(t0) + np.arange(steps)[None, :] < scenario.first[tracks, None]
            code[b, :, :n] = np.where(inside, scenario.code[rows], np.where(before, NOT_ENTERED, LEFT)).T
            exists[b, :, :n] = here.T
            state[b, :, :n] = np.where(here[..., None], scenario.state[rows], 0).transpose(1, 0, 2)
            kind[b, :n] = scenario.type[tracks]
            track[b, :n] = tracks
            scored[b, :n] = self._scored(scenario, tracks, here)
            if scenario.lane is not None:
                lane[b, :, :n] = np.where(here, scenario.lane[rows], 0).T
            if action is not None and scenario.action is not None:
                action[b, :, :n] = np.where(here[..., None], scenario.action[rows], 0).transpose(1, 0, 2)
        if self.protocol.self_contained:
            self._forget_before(state, first.features, self.protocol.still_speed)
            state[~exists] = 0
        numbers = np.asarray([n for n, _ in picked])
        is_first = np.zeros((size, steps), dtype=bool)
        is_first[:, 0] = True
        arrays: dict[str, NDArray[np.generic]] = {
            "agents.state": state,
            "agents.exists": exists,
            "agents.code": code,
            "agents.type": kind,
            "agents.lane": lane,
            "agents.scored": scored,
            "agents.track": track,
            "site": np.asarray([self.scenarios[int(n)].site_token for n in numbers], dtype=np.int64),
            "dt": np.asarray([self.scenarios[int(n)].dt for n in numbers], dtype=np.float32),
            "is_first": is_first,
            "scenario": numbers.astype(np.int64),
        }
        if action is not None:
            arrays["action"] = action
        if self.maps is not None:
            seen = self.protocol.context
            crops = [self.maps.window(self.scenarios[int(n)], state[b, :seen], exists[b, :seen]) for b, n in enumerate(numbers)]
            arrays["map.raster"] = np.stack([raster for raster, _ in crops])
            arrays["map.pose"] = np.stack([pose for _, pose in crops])
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}

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


class ScenarioDataset(Dataset):
    """A dataset made of scenarios in three splits that share one protocol (training may use another stride).

    Args:
        seen: Spec of the batches; keys it does not name are left out of them.
        action: Spec of the actions, None to leave them out.
        splits: Scenarios by split name.
        protocol: The protocol of `val` and `test`.
        train_stride: Stride of the training windows, in steps.
        train_agents: Most agents in a training window, which are crops around an agent; those of the protocol by default.
        mirror: Probability with which a training window is mirrored (datasets without actions only).
        scale: Largest enlargement of a training window; see `twm_core.data.augmentation`.
        raster: Size of the map raster of each window; None where the spec names none.
        notes: Further counts for the reports, by split name: what the reader left out or found, by reason.
    """

    def __init__(
        self,
        *,
        seen: ObservationSpec,
        action: ActionSpec | None,
        splits: Mapping[str, Sequence[Scenario]],
        protocol: WindowProtocol,
        train_stride: int | None = None,
        train_agents: int | None = None,
        mirror: float = 0.0,
        scale: float = 0.0,
        raster: RasterOptions | None = None,
        notes: Mapping[str, Mapping[str, int]] | None = None,
    ) -> None:
        self.seen = seen
        self.action = action
        self.splits = {k: tuple(v) for k, v in splits.items()}
        self.protocol = protocol
        self.train_stride = train_stride
        self.train_agents = train_agents
        self.mirror, self.scale = mirror, scale
        self.raster = raster
        self.notes = {split: dict(counts) for split, counts in (notes or {}).items()}

    def windows(self, split: str) -> Windows:
        if split not in self.splits:
            raise DataError(f"there is no split {split!r}", f"splits are {', '.join(self.splits)}")
        # Who will enter is part of the future: in val and test not even an empty slot tells.
        protocol = replace(self.protocol, entering=False)
        if split == "train":
            # Training learns from every agent that can be scored partly; the protocol's own counting rules are for val and test.
            stride = self.train_stride or self.protocol.stride
            protocol = replace(self.protocol, stride=stride, min_scored=1, full=False)
            if self.train_agents is not None:
                protocol = replace(protocol, max_agents=min(self.train_agents, protocol.max_agents), around_agent=True)
        windows = ScenarioWindows(self.splits[split], protocol, split, self.raster)
        return _Selected(windows, self.seen, self.action, self.notes.get(split, {}))

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        # What an action means in a mirror image or at another size, only its dataset could tell.
        if self.action is not None or (self.mirror == 0 and self.scale == 0):
            return batch
        pose = self.seen.get("map.pose") if self.seen.has("map.pose") else None
        state = self.seen.get("agents.state")
        return augment_traffic(batch, state, pose=pose, mirror=self.mirror, scale=self.scale, generator=generator)

    def fingerprint(self) -> str:
        options = (self.protocol, self.train_stride, self.train_agents, self.mirror, self.scale)
        digest = hashlib.sha256(repr((*options, self.seen.model_dump())).encode())
        for split, scenarios in sorted(self.splits.items()):
            for s in scenarios:
                digest.update(f"{split}/{s.id}/{s.steps}".encode())
                digest.update(f"{s.dt}/{s.site_token}".encode())
                for array in (a for a in (s.state, s.code, s.first, s.length, s.type, s.lane, s.action, s.eligible) if a is not None):
                    digest.update(np.ascontiguousarray(array).tobytes())
                if self.raster is not None:
                    digest.update(f"{self.raster}/{road_digest(road_of(s))}".encode())
        return digest.hexdigest()


class _Selected(Windows):
    """Windows whose batches hold exactly the keys of the spec."""

    def __init__(self, windows: ScenarioWindows, seen: ObservationSpec, action: ActionSpec | None, notes: Mapping[str, int]) -> None:
        self.inner = windows
        self.notes = dict(notes)
        self.keys = (*seen.names, *(("action",) if action is not None else ()))

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self.inner.batch(indices)
        return {k: batch[k] for k in self.keys}

    def report(self) -> dict[str, int]:
        return {**self.inner.report(), **self.notes}
