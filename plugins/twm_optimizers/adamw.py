"""AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", 2019) as torch has it, with adaptive clipping before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from twm_core.specs import OptimizerSpecs
from twm_core.training.optimizer import decay_groups
from twm_optimizers.config import AdamWConfig
from twm_optimizers.laprop import clip_adaptively


class ClippedAdamW(torch.optim.AdamW):
    """AdamW that clips each tensor's gradient to a share of the tensor's norm first.

    Args:
        groups: Parameter groups.
        lr: Learning rate.
        agc: Largest ratio of the norm of a gradient to that of its tensor.
    """

    def __init__(self, groups: list[dict[str, Any]], *, lr: float, agc: float) -> None:
        super().__init__(groups, lr=lr, fused=True)
        self.agc = agc

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One update; the gradients are scaled in place."""
        clip_adaptively((p for group in self.param_groups for p in group["params"]), self.agc)
        return super().step(closure)


def build(config: AdamWConfig, specs: OptimizerSpecs) -> torch.optim.Optimizer:
    """AdamW over the parameters of the world model."""
    groups = decay_groups(specs.parameters, config.weight_decay)
    return ClippedAdamW(groups, lr=specs.lr, agc=config.agc) if config.agc else torch.optim.AdamW(groups, lr=specs.lr, fused=True)
