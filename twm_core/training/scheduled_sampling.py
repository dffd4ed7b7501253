"""Scheduled sampling: in training, some observations are kept from the dynamics, which go on from their own prediction instead.

The share grows linearly from 0 (teacher forcing) to its final value, so that a model learns to mend its own errors once it makes few
(Bengio et al., "Scheduled sampling for sequence prediction with recurrent neural networks", 2015). The first step of an episode is never
withheld: there is no prediction to go on from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.recipe.training_config import TrainingConfig


def share_at(config: TrainingConfig, step: int) -> float:
    """The share of observations that is withheld at an optimizer step, counted from 0."""
    ramp = config.scheduled_sampling_ramp or config.steps
    return config.scheduled_sampling * min(1.0, step / ramp)


def withhold(batch: Batch, share: float, *, agents: bool, generator: torch.Generator | None) -> Tensor | None:
    """Which observations to keep from the dynamics; None where there are none to keep.

    Args:
        batch: A training batch.
        share: Probability for each observation.
        agents: Whether every agent has a latent of its own; then each is drawn for itself.
        generator: Source of the draw.

    Returns:
        bool `[B,T]`, or `[B,T,A]` for agents.
    """
    if share == 0:
        return None
    first = batch["is_first"]
    shape = batch["agents.exists"].shape if agents else first.shape
    drawn = torch.rand(shape, generator=generator, device=first.device) < share
    begins = first.clone()
    begins[:, 0] = True
    return drawn & ~begins.reshape(*begins.shape, *(1,) * (drawn.dim() - 2))
