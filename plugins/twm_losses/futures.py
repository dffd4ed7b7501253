"""The part of a rollout that one loss asked for, with the truth beside it.

The world model makes one rollout for all losses: with the most samples and the most steps that any of them asks for. A loss takes its own
first `samples` and `steps` of it. During a curriculum the rollout is shorter than `steps`; then all there is, is taken. Where another
episode begins within the rollout, nothing from there on counts: what was imagined goes on with the one that has ended.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.kinds.loss import RolloutRequest
from twm_core.nn.batches import same_episode
from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Rollout

STATE, EXISTS = "agents.state", "agents.exists"


class Futures(NamedTuple):
    """A rollout cut to a request.

    Attributes:
        rollout: What the world model made.
        samples: `S`, samples taken.
        steps: `H`, steps taken.
        began: Agents that exist at the last observed step, bool `[B,A]`.
        within: Steps of the episode that the rollout began in, bool `[B,H]`.
        here: Agents that began and exist at each predicted step within it, bool `[B,H,A]`.
    """

    rollout: Rollout
    samples: int
    steps: int
    began: Tensor
    within: Tensor
    here: Tensor

    @property
    def start(self) -> int:
        """First predicted step."""
        return self.rollout.start

    def decoded(self, key: str) -> Distribution:
        """The decoded distribution of a key, `[B,S,H,...]`."""
        return self.rollout.decoded[key].map(lambda x: x[:, : self.samples, : self.steps])

    def future(self, value: Tensor) -> Tensor:
        """The predicted steps of a tensor `[B,T,...]`: `[B,H,...]`."""
        return value[:, self.start : self.start + self.steps]

    def truth(self, batch: Batch, features: list[int]) -> Tensor:
        """True features of agents that are `here`, 0 for others, `[B,H,A,F]`."""
        return torch.where(self.here[..., None], self.future(batch[STATE])[..., features], 0)

    def origin(self, batch: Batch, features: list[int]) -> Tensor:
        """Features at the last observed step of agents that `began`, 0 for others, `[B,A,F]`."""
        return torch.where(self.began[..., None], batch[STATE][:, self.start - 1][..., features], 0)


def futures(rollout: Rollout | None, batch: Batch, request: RolloutRequest | None, whose: str) -> Futures:
    """The rollout of these outputs, cut to a request.

    Raises:
        PluginError: The world model made no rollout.
    """
    if rollout is None or request is None:
        raise PluginError(f"loss {whose}: the world model made no rollout", "use a dataset whose windows have predicted steps")
    made, reached = rollout.decoded[STATE].mean.shape[1:3]
    samples, steps = min(made, request.samples), reached if request.steps is None else min(reached, request.steps)
    began = batch[EXISTS][:, rollout.start - 1]
    within = same_episode(batch["is_first"], rollout.start)[:, :steps]
    here = batch[EXISTS][:, rollout.start : rollout.start + steps] & began[:, None] & within[..., None]
    return Futures(rollout, samples, steps, began, within, here)


def winners(futures: int, step: int | None, anneal: int) -> int:
    """How many of the best futures learn at an optimizer step: all at first, 1 after `anneal` steps and outside training."""
    if step is None or step >= anneal:
        return 1
    return max(1, round(futures - (futures - 1) * step / anneal))
