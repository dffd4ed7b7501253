"""What really happened in some windows, cut from their batch, and the road maps that belong to them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from twm_core.data.dataset import Batch, Dataset
from twm_core.data.scenario import RoadMap
from twm_core.data.windows.scenario_dataset import ScenarioDataset
from twm_core.evaluation.forecast import Truth
from twm_core.nn.batches import same_episode
from twm_core.specs import ObservationSpec

_TRACKS = 1_000_000
"""More than the tracks of any scenario: keeps the numbers of their vehicles apart."""


class RoadMaps:
    """The road maps of a split's scenarios, each read once; None where a dataset has none."""

    def __init__(self, dataset: Dataset | None, split: str) -> None:
        self._scenarios = dataset.splits.get(split, ()) if isinstance(dataset, ScenarioDataset) else ()
        self._known: dict[int, RoadMap | None] = {}

    def of(self, number: int) -> RoadMap | None:
        """The map of a scenario by its number in the split."""
        if not self._scenarios:
            return None
        if number not in self._known:
            self._known[number] = self._scenarios[number].road
        return self._known[number]


def truth_of(batch: Batch, obs_spec: ObservationSpec, numbers: Sequence[int], roads: RoadMaps) -> Truth:
    """The truth of whole windows.

    Args:
        batch: The windows, observed and predicted steps, all with the same interval.
        obs_spec: Its spec.
        numbers: Number of each window in its split.
        roads: Road maps of the split.
    """
    now, interval = obs_spec.context, float(batch["dt"][0])
    state, exists, scenario = batch["agents.state"], batch["agents.exists"], batch["scenario"]
    return Truth(
        batch=batch,
        features=tuple(f.name for f in obs_spec.get("agents.state").features),
        past=state[:, :now],
        past_exists=exists[:, :now],
        states=state[:, now:],
        here=exists[:, now:] & same_episode(batch["is_first"], now)[..., None],
        scored=batch["agents.scored"],
        vehicle=scenario[:, None] * _TRACKS + batch["agents.track"],
        window=torch.as_tensor(list(numbers), dtype=torch.int64),
        scenario=scenario,
        dt=interval if abs(interval - obs_spec.dt) > 1e-6 * obs_spec.dt else obs_spec.dt,  # float32 holds no 0.1
        maps=tuple(roads.of(int(n)) for n in scenario.tolist()),
    )


class TruthDigest:
    """A hash of everything that is scored: windows, agents, steps and true positions. What models observe beside is not in it."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, truth: Truth) -> None:
        """Add windows, one by one, so that the size of a batch changes nothing."""
        xy = truth.states[..., [truth.index("x"), truth.index("y")]]
        for b in range(len(truth.window)):
            scored, here = truth.scored[b], truth.here[b]
            at = torch.where(here[..., None], xy[b], 0.0)[:, scored]
            self._hash.update(f"{int(truth.window[b])}/{int(truth.scenario[b])}/{truth.dt:.9g}".encode())
            for part in (truth.vehicle[b][scored], here[:, scored], at):
                self._hash.update(np.ascontiguousarray(part.cpu().numpy()).tobytes())

    def hexdigest(self) -> str:
        """The hash of what was added so far."""
        return self._hash.hexdigest()
