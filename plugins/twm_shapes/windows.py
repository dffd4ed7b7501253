"""Windows of episodes that stand one after another in flat arrays of `R` steps.

Two ways to cut: `spanning` windows begin at every `stride`-th step and go on with the next episode where one ends, so that no step is
lost and a model learns to be reset in mid-window; the others lie within one episode, the last of them ending with it, as forecasts
need it. `is_first` is true where an episode begins and at the first step of every window, because nothing from before is known there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from twm_core.data.dataset import Batch, Windows
from twm_core.errors import DataError
from twm_core.specs import ObservationSpec
from twm_shapes.render import render
from twm_shapes.world import Episodes


@dataclass(frozen=True)
class Steps:
    """The steps of all episodes of a split, one after another.

    Attributes:
        start: int64 `[N + 1]`, the first step of each episode, and `R`.
        position: float64 `[R,K,2]`, for the pictures.
        arrays: The keys of a batch that are ready, each `[R,...]`.
    """

    start: NDArray[np.int64]
    position: NDArray[np.float64]
    arrays: dict[str, NDArray[np.generic]]

    def digest(self) -> str:
        """A hash of everything."""
        made = hashlib.sha256(self.start.tobytes())
        for name, array in (("position", self.position), *sorted(self.arrays.items())):
            made.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return made.hexdigest()


def flatten(episodes: Episodes) -> Steps:
    """The steps of episodes without what follows their ends."""
    count, most = episodes.position.shape[:2]
    here = np.arange(most) < episodes.length[:, None]
    start = np.concatenate([[0], np.cumsum(episodes.length)]).astype(np.int64)
    first, last, terminal = (np.zeros(start[-1], dtype=bool) for _ in range(3))
    first[start[:-1]] = True
    last[start[1:] - 1] = True
    terminal[start[1:] - 1] = episodes.caught
    state = np.concatenate([episodes.position, episodes.velocity], axis=-1).reshape(count, most, -1)
    arrays: dict[str, NDArray[np.generic]] = {
        "vector.state": state[here].astype(np.float32),
        "vector.phase": episodes.phase[here],
        "reward": episodes.reward[here].astype(np.float32),
        "is_first": first,
        "is_last": last,
        "is_terminal": terminal,
    }
    if episodes.action is not None:
        arrays["action"] = episodes.action[here].astype(np.float32)
    return Steps(start, episodes.position[here], arrays)


class EpisodeWindows(Windows):
    """Windows of one split.

    Args:
        steps: Its steps.
        seen: Keys and window.
        stride: Steps between the starts of two windows.
        spanning: Whether windows go on with the next episode.
        split: Name of the split, for messages.

    Raises:
        DataError: There is no window.
    """

    def __init__(self, steps: Steps, obs_spec: ObservationSpec, *, stride: int, spanning: bool, split: str) -> None:
        self.steps, self.obs_spec = steps, obs_spec
        self.size = obs_spec.context + obs_spec.horizon
        length = np.diff(steps.start)
        short = 0
        if spanning:
            starts = np.arange(0, steps.start[-1] - self.size + 1, stride)
            unused = int(steps.start[-1] - (starts[-1] + self.size)) if len(starts) else int(steps.start[-1])
        else:
            short = int((length < self.size).sum())
            parts = [
                begin + np.unique([*range(0, n - self.size + 1, stride), n - self.size])
                for begin, n in zip(steps.start[:-1], length, strict=True)
                if n >= self.size
            ]
            starts = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
            unused = int(length[length < self.size].sum())
        self.starts = starts.astype(np.int64)
        self._report = {
            "windows": len(self.starts),
            "episodes": len(length),
            "steps": int(steps.start[-1]),
            "episodes shorter than a window": short,
            "steps in no window": unused,
        }
        if not len(self.starts):
            raise DataError(
                f"dataset shapes: split {split!r} has no window of {self.size} steps: {self._report}",
                "use shorter windows or more episodes",
            )

    def __len__(self) -> int:
        return len(self.starts)

    def report(self) -> dict[str, int]:
        return dict(self._report)

    def batch(self, indices: Sequence[int]) -> Batch:
        rows = self.starts[list(indices)][:, None] + np.arange(self.size)  # [B,T]
        arrays = {k: v[rows] for k, v in self.steps.arrays.items() if k == "action" or self.obs_spec.has(k)}
        arrays["is_first"][:, 0] = True
        if self.obs_spec.has("image.camera"):
            height = self.obs_spec.get("image.camera").shape[-1]
            flat = rows.reshape(-1)
            pictures = render(self.steps.position[flat], self.steps.arrays["vector.phase"][flat].astype(np.int64), height)
            arrays["image.camera"] = pictures.reshape(*rows.shape, *pictures.shape[1:])
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}
