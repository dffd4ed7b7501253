"""Losses with one term for each decoded key and branch, whatever the key: the part that `nll` and `mse` share.

    term = factor of the branch * factor of the key * mean of cost(decoded, truth) over what counts

with the mean over `[B,T]`, or over the agents and steps that count (see `masks.py`); predictions of the step at which an episode begins do
not count, because nothing precedes it. Where something does not count, neither the truth nor
what was decoded reaches the term or its gradient.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.nn.batches import follows
from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Loss, Outputs
from twm_core.nn.masking import masked_mean
from twm_core.nn.targets import DERIVED, target
from twm_core.specs import LossSpecs
from twm_losses.branches import branches
from twm_losses.config_likelihood import KeyedConfig
from twm_losses.masks import EXISTS, agents_counted, known


class Chosen(NamedTuple):
    """A key that counts.

    Attributes:
        key: Its name.
        agents: Whether it has an axis of agents.
        columns: Which features of the batch are decoded, in their order; None where all are.
        scale: Factor.
    """

    key: str
    agents: bool
    columns: list[int] | None
    scale: float


class KeyedLoss(Loss):
    """Terms `<key>.reconstruction` and `<key>.prediction`.

    Args:
        config: Factors.
        keys: The keys that count.
    """

    def __init__(self, *, config: KeyedConfig, keys: list[Chosen]) -> None:
        super().__init__()
        self.config = config
        self.keys = keys

    @abstractmethod
    def cost(self, decoded: Distribution, truth: Tensor, leading: int) -> Tensor:
        """What a true value costs, `[B,T]` or `[B,T,A]` (the `leading` axes)."""

    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        terms = {}
        begun = follows(batch["is_first"])
        for chosen in self.keys:
            truth, mask = self._truth(chosen, batch)
            for branch, factor, decoded in branches(self.config, outputs):
                counted = mask & begun if branch == "prediction" and not chosen.agents else mask
                cost = self.cost(decoded[chosen.key], truth, mask.dim())
                terms[f"{chosen.key}.{branch}"] = factor * chosen.scale * masked_mean(torch.where(counted, cost, 0), counted)
        return terms

    def _truth(self, chosen: Chosen, batch: Batch) -> tuple[Tensor, Tensor]:
        """The true values, 0 where they do not count, and where they count."""
        truth = target(batch, chosen.key)
        if chosen.columns is not None:
            truth = truth[..., chosen.columns]
        if chosen.agents:
            mask = agents_counted(chosen.key, batch)
            if chosen.key == EXISTS:  # absence counts, so nothing may be put in its place
                return truth, mask
        else:
            mask = known(truth, 2)
        return torch.where(mask.reshape(*mask.shape, *(1,) * (truth.dim() - mask.dim())), truth, torch.zeros_like(truth)), mask


def chosen_keys(config: KeyedConfig, specs: LossSpecs) -> list[Chosen]:
    """The keys that a config chooses, with their places in the batch."""
    keys = []
    for key in config.selected(specs.output):
        spec, names = specs.obs_spec.get(DERIVED.get(key, key)), specs.output.get(key).features
        columns = [spec.index(n) for n in names]
        everything = columns in ([], list(range(len(spec.features))))
        keys.append(Chosen(key, "A" in spec.axes.split(), None if everything else columns, config.scale(key)))
    return keys
