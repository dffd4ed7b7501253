"""A dataset made of scenarios: three splits that share one protocol, windows for each, augmentation in training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from twm_core.data.dataset import Batch, Dataset, Windows
from twm_core.data.roads.map_crops import RasterOptions, road_digest, road_of
from twm_core.data.scenario import Scenario
from twm_core.data.windows.augmentation import augment_traffic
from twm_core.data.windows.protocol import Part, WindowProtocol
from twm_core.data.windows.scenario_windows import ScenarioWindows
from twm_core.data.windows.split_content import check_splits
from twm_core.errors import DataError
from twm_core.specs import ActionSpec, ObservationSpec


class ScenarioDataset(Dataset):
    """A dataset made of scenarios in three splits that share one protocol (training may use another stride).

    The first time windows are made the splits are compared by content (`twm_core.data.windows.split_content`), however they came about.

    Args:
        obs_spec: Spec of the batches; keys and features it does not name are left out of them.
        action: Spec of the actions, None to leave them out.
        splits: Scenarios by split name.
        protocol: The protocol of `val` and `test`.
        train_stride: Stride of the training windows, in steps.
        train_agents: Most agents in a training window, which are crops around an agent; those of the protocol by default.
        mirror: Probability with which a training window is mirrored (datasets without actions only).
        scale: Largest enlargement of a training window; see `twm_core.data.windows.augmentation`.
        rotate: Whether training windows are turned by any angle.
        dropout: Probability with which an agent is taken out of a training window.
        raster: Size of the map raster of each window; None where the spec names none.
        notes: Further counts for the reports, by split name: what the reader left out or found, by reason.
        parts: What each split may use of its scenarios; all by default.
        lane_tokens: For each scenario of each split the tokens of what its `lane` holds; None where that holds tokens.
        digest: A hash of the scenarios' values where one is known, so that fingerprints need not read them all.
    """

    def __init__(
        self,
        *,
        obs_spec: ObservationSpec,
        action: ActionSpec | None,
        splits: Mapping[str, Sequence[Scenario]],
        protocol: WindowProtocol,
        train_stride: int | None = None,
        train_agents: int | None = None,
        mirror: float = 0.0,
        scale: float = 0.0,
        rotate: bool = False,
        dropout: float = 0.0,
        raster: RasterOptions | None = None,
        notes: Mapping[str, Mapping[str, int]] | None = None,
        parts: Mapping[str, Sequence[Part | None]] | None = None,
        lane_tokens: Mapping[str, Sequence[NDArray[np.int64] | None]] | None = None,
        digest: str | None = None,
    ) -> None:
        self.obs_spec = obs_spec
        self.action = action
        self.splits = {k: tuple(v) for k, v in splits.items()}
        self.parts = {k: tuple((parts or {}).get(k, (None,) * len(v))) for k, v in self.splits.items()}
        self.protocol = protocol
        self.train_stride = train_stride
        self.train_agents = train_agents
        self.mirror, self.scale, self.rotate, self.dropout = mirror, scale, rotate, dropout
        self.raster = raster
        self.notes = {split: dict(counts) for split, counts in (notes or {}).items()}
        self.lane_tokens = dict(lane_tokens or {})
        self.digest = digest
        self._checked: tuple[object, object] | None = None

    def windows(self, split: str) -> Windows:
        if split not in self.splits:
            raise DataError(f"there is no split {split!r}", f"splits are {', '.join(self.splits)}")
        # A copy of this dataset may have been given other splits.
        if self._checked is None or self._checked[0] is not self.splits or self._checked[1] is not self.parts:
            check_splits(self.splits, self.parts)
            self._checked = (self.splits, self.parts)
        # Who will enter is part of the future: in val and test not even an empty slot tells.
        protocol = replace(self.protocol, entering=False)
        if split == "train":
            # Training learns from every agent that can be scored partly; the protocol's own counting rules are for val and test.
            stride = self.train_stride or self.protocol.stride
            protocol = replace(self.protocol, stride=stride, min_scored=1, full=False, show_others=False, expects={})
            if self.train_agents is not None:
                protocol = replace(protocol, max_agents=min(self.train_agents, protocol.max_agents), around_agent=True)
        keys = {*self.obs_spec.names, *(("action",) if self.action is not None else ())}
        features = tuple(f.name for f in self.obs_spec.get("agents.state").features)
        windows = ScenarioWindows(
            self.splits[split],
            protocol,
            split,
            self.raster,
            parts=self.parts[split],
            features=features,
            keys=keys,
            lane_tokens=self.lane_tokens.get(split),
        )
        return _Noted(windows, self.notes.get(split, {}))

    def augment(self, batch: Batch, generator: torch.Generator) -> Batch:
        # What an action means in a mirror image or at another size, only its dataset could tell.
        if self.action is not None or not (self.mirror or self.scale or self.rotate or self.dropout):
            return batch
        return augment_traffic(
            batch,
            self.obs_spec.get("agents.state"),
            pose=self.obs_spec.get("map.pose") if self.obs_spec.has("map.pose") else None,
            mirror=self.mirror,
            scale=self.scale,
            rotate=self.rotate,
            dropout=self.dropout,
            generator=generator,
        )

    def fingerprint(self) -> str:
        augmentation = (self.mirror, self.scale, *((self.rotate, self.dropout) if self.rotate or self.dropout else ()))
        options = (_protocol_text(self.protocol), self.train_stride, self.train_agents, *augmentation)
        digest = hashlib.sha256(repr((*options, self.obs_spec.model_dump())).encode())
        for split, scenarios in sorted(self.splits.items()):
            for s, part in zip(scenarios, self.parts[split], strict=True):
                digest.update(f"{split}/{s.id}/{s.steps}".encode())
                digest.update(f"{s.dt}/{s.site_token}".encode())
                if part is not None:
                    digest.update(f"{part.begin}/{part.end}".encode())
                    digest.update(b"" if part.own is None else np.ascontiguousarray(part.own).tobytes())
                if self.digest is None:
                    arrays = (s.state, s.code, s.first, s.length, s.type, s.lane, s.action, s.eligible, s.anchors)
                    for array in (a for a in arrays if a is not None):
                        digest.update(np.ascontiguousarray(array).tobytes())
                    if self.raster is not None:
                        digest.update(f"{self.raster}/{road_digest(road_of(s))}".encode())
        if self.digest is not None:
            digest.update(f"{self.digest}/{self.raster}".encode())
        return digest.hexdigest()


def _protocol_text(protocol: WindowProtocol) -> str:
    """What decides windows; what is expected of them does not."""
    return repr(replace(protocol, expects={}))


class _Noted(Windows):
    """Windows whose report holds further counts."""

    def __init__(self, windows: ScenarioWindows, notes: Mapping[str, int]) -> None:
        self.inner = windows
        self.notes = dict(notes)

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, indices: Sequence[int]) -> Batch:
        return self.inner.batch(indices)

    def report(self) -> dict[str, int]:
        return {**self.inner.report(), **self.notes}
