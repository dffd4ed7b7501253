"""A healthy dataset of a few made-up scenarios, and what may be wrong with one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from zoo_configs import ZooDataset

from twm_core.data.dataset import Windows
from twm_core.data.scenario import OBSERVED, Scenario
from twm_core.data.schema import MOTION
from twm_core.data.windows.protocol import WindowProtocol
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.specs import DatasetSpecs

_READS = itertools.count()


DT = 0.5


def scenario(seed: int, tracks: int = 4, steps: int = 16, clock: float = 1.0) -> Scenario:
    random = np.random.default_rng(seed)
    first = random.integers(0, 4, size=tracks)
    length = np.minimum(random.integers(10, 16, size=tracks), steps - first)
    rows = int(length.sum())
    state = random.normal(size=(rows, len(MOTION))) * 3
    # Agents go where their velocities say, as if a step took `clock` times as long.
    x, vx = MOTION.index("x"), MOTION.index("vx")
    state[:, x : x + 2] = np.cumsum(state[:, vx : vx + 2] * DT * clock, axis=0)
    return Scenario(
        id=f"made-up-{seed}",
        site="nowhere",
        dt=DT,
        steps=steps,
        features=MOTION,
        state=state.astype(np.float32),
        code=np.full(rows, OBSERVED, dtype=np.uint8),
        first=first.astype(np.int64),
        length=length.astype(np.int64),
        track=tuple(str(i) for i in range(tracks)),
        type=random.integers(0, 8, size=tracks).astype(np.int64),
        lane=random.integers(0, 5, size=rows).astype(np.int64),
        action=np.concatenate([random.normal(size=(rows, 1)), np.eye(3)[random.integers(0, 3, rows)]], axis=1).astype(np.float32),
    )


class ZooWindows(Windows):
    def __init__(self, inner: Windows, fault: str) -> None:
        self.inner, self.fault = inner, fault

    def __len__(self) -> int:
        return len(self.inner)

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        batch = self.inner.batch(indices)
        state, here = batch["agents.state"], batch["agents.exists"].unsqueeze(-1)
        if self.fault == "gives another dtype":
            batch["agents.state"] = state.double()
        elif self.fault == "leaves a key out":
            del batch["agents.lane"]
        elif self.fault == "counts lanes wrongly":
            batch["agents.lane"] = batch["agents.lane"] + 3
        elif self.fault == "holds what is not a number":
            batch["agents.state"] = torch.where(here & (torch.arange(state.shape[1])[:, None, None] == 1), torch.nan, state)
        elif self.fault == "leaves rubbish in empty slots":
            batch["agents.state"] = torch.where(here, state, 9.0)
        elif self.fault == "draws while reading":
            batch["agents.state"] = torch.where(here, state + next(_READS), 0)
        elif self.fault == "normalizes over the batch":
            batch["agents.state"] = state / (1 + state[:, 0].abs().amax())
        elif self.fault == "centres on the whole window":
            mean = state.sum(dim=1, keepdim=True) / here.sum(dim=1, keepdim=True).clamp_min(1)
            batch["agents.state"] = torch.where(here, state - mean, 0)
        elif self.fault == "begins without saying so":
            batch["is_first"][:, 0] = False
        elif self.fault == "gives the number of a category":
            batch["action"][..., 1:] = batch["action"][..., 1:] * 2
        return batch

    def report(self) -> dict[str, int]:
        return {**self.inner.report(), **({"windows": 1} if self.fault == "counts wrongly" else {})}


class ZooDatasetModel(ScenarioDataset):
    fault = ""

    def windows(self, split: str) -> Windows:
        if self.fault == "tests on what it trains on":
            self._checked = (self.splits, self.parts)  # core refuses these splits; the kit must find out by itself
        return ZooWindows(super().windows(split), self.fault)

    def fingerprint(self) -> str:
        return f"{next(_READS):x}" if self.fault == "has a new fingerprint each time" else super().fingerprint()


def build(config: ZooDataset, specs: DatasetSpecs) -> ZooDatasetModel:
    test = 0 if config.fault == "tests on what it trains on" else 3
    splits = {
        "train": [scenario(0, tracks=6), scenario(1)],
        "val": [scenario(2, clock=1.6667 if config.fault == "goes by another clock" else 1.0)],
        "test": [scenario(test, tracks=6)],
    }
    protocol = WindowProtocol(context=3, horizon=4, stride=2)
    dataset = ZooDatasetModel(obs_spec=specs.obs_spec, action=specs.action, splits=splits, protocol=protocol)
    dataset.fault = config.fault
    return dataset
