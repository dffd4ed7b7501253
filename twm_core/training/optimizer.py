"""The optimizer of a run, its learning rate (warm-up and cosine), and a moving average of the weights.

lr(k) = lr * min((k + 1) / warmup, end + (1 - end) * (1 + cos(pi * progress)) / 2), a pure function of the step, so that resuming needs
no scheduler state. Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from twm_core.recipe.assembly import Plan
from twm_core.recipe.training_config import TrainingConfig
from twm_core.specs import OptimizerSpecs


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate of step `step`, counted from 0."""
    ramp = (step + 1) / config.warmup if config.warmup else 1.0
    progress = min(max(step - config.warmup, 0) / max(config.steps - config.warmup, 1), 1.0)
    cosine = config.lr_end + (1 - config.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.lr * min(ramp, cosine)


def decay_groups(parameters: Mapping[str, Any], weight_decay: float) -> list[dict[str, Any]]:
    """Parameters in groups as `torch.optim` takes them: matrices and kernels decay, biases, scales and embeddings of one axis never do."""
    matrices = [p for p in parameters.values() if p.dim() >= 2]
    others = [p for p in parameters.values() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [g for g in groups if g["params"]]


def make_optimizer(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """The optimizer of a plan over the trainable parameters of a model."""
    part = plan.one("optimizer")
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return part.build(OptimizerSpecs(parameters=parameters, lr=plan.training.lr))


class MovingAverage:
    """Exponential moving average of parameters: average += (1 - decay_k) (value - average), decay_k = min(decay, (1 + k) / (10 + k)).

    Args:
        model: Whose parameters to follow.
        decay: Decay per step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {n: p.detach().clone() for n, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Follow the parameters after step `step`, counted from 1."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, parameter in model.named_parameters():
            self.values[name].lerp_(parameter.detach(), rate)
