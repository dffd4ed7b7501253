"""Builds the dataset `shapes`: episodes are simulated when a split is first asked for, pictures are painted as they are read.

The seed of an episode is `(config seed, split, number)`: splits share no episode, and more episodes do not change the former ones.
"""

from __future__ import annotations

import hashlib

import numpy as np

from twm_core.data.dataset import SPLITS, Dataset, Windows
from twm_core.errors import DataError
from twm_core.specs import DatasetSpecs
from twm_shapes.config import ShapesConfig
from twm_shapes.render import render
from twm_shapes.windows import EpisodeWindows, Steps, flatten
from twm_shapes.world import simulate


class ShapesDataset(Dataset):
    """Bouncing shapes.

    Args:
        config: The options.
        given: Their specs.
    """

    def __init__(self, config: ShapesConfig, specs: DatasetSpecs) -> None:
        self.config = config
        self.obs_spec, self.action = specs.obs_spec, specs.action
        self._made: dict[str, Steps] = {}

    def steps(self, split: str) -> Steps:
        """All steps of a split.

        Raises:
            DataError: There is no such split.
        """
        if split not in SPLITS:
            raise DataError(f"dataset shapes has no split {split!r}", f"splits are {', '.join(SPLITS)}")
        if split not in self._made:
            episodes = self.config.episodes if split == "train" else self.config.evaluation_episodes
            self._made[split] = flatten(simulate(self.config, split=SPLITS.index(split), episodes=episodes))
        return self._made[split]

    def windows(self, split: str) -> Windows:
        train = split == "train"
        return EpisodeWindows(
            self.steps(split),
            self.obs_spec,
            stride=self.config.stride if train else self.config.evaluation_stride,
            spanning=train and self.config.spanning,
            split=split,
        )

    def fingerprint(self) -> str:
        made = hashlib.sha256(self.config.model_dump_json().encode())
        for split in SPLITS:
            steps = self.steps(split)
            made.update(steps.digest().encode())
        if self.config.images:
            # Pictures follow from the steps; a few of them tell whether they are still painted in the same way.
            first = self.steps("train")
            made.update(render(first.position[:4], first.arrays["vector.phase"][:4].astype(np.int64), self.config.image_size).tobytes())
        return made.hexdigest()


def build(config: ShapesConfig, specs: DatasetSpecs) -> ShapesDataset:
    """The dataset: deterministic given the config, and simulated anew each time (well under a second)."""
    return ShapesDataset(config, specs)
