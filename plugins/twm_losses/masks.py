"""What counts in a loss: which agents at which steps, and which values are known. All masks are bool.

A state is decoded as a change from the step before, so it counts where the agent exists at both steps, and not where an episode begins in
between. Existence counts for agents that have been seen at an earlier step of the episode: which slot a newcomer will take cannot be
known. A prediction counts where there is a step before it in the same episode. A value that holds -inf, or a label -1, is missing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.nn.batches import follows, observed_before

EXISTS = "agents.exists"


def moved(batch: Batch) -> Tensor:
    """Agents that exist at a step and at the one before in the same episode, `[B,T-1,A]`: for the steps from the second on."""
    exists = batch[EXISTS]
    return exists[:, 1:] & exists[:, :-1] & follows(batch["is_first"])[:, 1:, None]


def agents_counted(key: str, batch: Batch) -> Tensor:
    """Where a decoded key of agents counts, `[B,T,A]`."""
    exists = batch[EXISTS]
    if key == EXISTS:
        return observed_before(exists, batch["is_first"])
    return torch.cat((torch.zeros_like(exists[:, :1]), moved(batch)), dim=1)


def known(value: Tensor, leading: int) -> Tensor:
    """Where a value is not missing, over its `leading` axes.

    Not-a-number is no missing value but an error in the data, which shall show.
    """
    if value.is_floating_point():
        missing = value == -torch.inf
    elif value.is_signed():
        missing = value < 0
    else:
        return torch.ones(value.shape[:leading], dtype=torch.bool, device=value.device)
    return ~(missing.flatten(leading).any(dim=-1) if value.dim() > leading else missing)
