"""A healthy dataset of episodes without agents, and what may be wrong with one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from zoo_configs import ZooEpisodes

from twm_core.data.dataset import SPLITS, Dataset, Windows
from twm_core.specs import DatasetSpecs

_LENGTH, _EPISODES, _WINDOW = 9, 4, 6


def stream(seed: int) -> dict[str, Tensor]:
    """Four episodes of nine steps, one after another; every other one ends terminally."""
    generator = torch.Generator().manual_seed(seed)
    steps = _LENGTH * _EPISODES
    place = torch.arange(steps) % _LENGTH
    last = place == _LENGTH - 1
    move = torch.nn.functional.one_hot(torch.randint(3, (steps,), generator=generator), 3).float()
    return {
        "vector.state": torch.randn(steps, 3, generator=generator),
        "reward": torch.randn(steps, generator=generator),
        "is_first": place == 0,
        "is_last": last,
        "is_terminal": last & (torch.arange(steps) // _LENGTH % 2 == 0),
        "action": torch.cat([torch.randn(steps, 1, generator=generator), move], dim=-1),
    }


class EpisodeWindows(Windows):
    """Windows that begin at every third step and go on with the next episode."""

    def __init__(self, seed: int, fault: str, keys: tuple[str, ...]) -> None:
        self.steps, self.fault, self.keys = stream(seed), fault, keys

    def __len__(self) -> int:
        return (_LENGTH * _EPISODES - _WINDOW) // 3 + 1

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        rows = 3 * torch.as_tensor(list(indices))[:, None] + torch.arange(_WINDOW)
        batch = {k: self.steps[k][rows] for k in self.keys}
        batch["is_first"][:, 0] = True
        if self.fault == "forgets ends":
            batch["is_last"] = batch["is_terminal"]
        elif self.fault == "forgets beginnings":
            batch["is_first"][:, 1:] = False
        elif self.fault == "ends without an end":
            batch["is_terminal"][:, 1] = True
        elif self.fault == "gives no move":
            batch["action"][..., 1:] = 0
        return batch

    def report(self) -> dict[str, int]:
        return {"windows": len(self)}


class EpisodeDataset(Dataset):
    def __init__(self, config: ZooEpisodes, specs: DatasetSpecs) -> None:
        self.obs_spec, self.action, self.fault = specs.obs_spec, specs.action, config.fault

    def windows(self, split: str) -> Windows:
        seed = 0 if self.fault == "tests on what it trains on" else SPLITS.index(split)
        return EpisodeWindows(seed, self.fault, (*self.obs_spec.names, "action"))

    def fingerprint(self) -> str:
        return "e0"


def build(config: ZooEpisodes, specs: DatasetSpecs) -> EpisodeDataset:
    return EpisodeDataset(config, specs)
