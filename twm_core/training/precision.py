"""The arithmetic of a training step, and the largest norm of its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from twm_core.recipe.training_config import TrainingConfig

MIXED = "bf16-mixed"


def losses(model: nn.Module, config: TrainingConfig, device: torch.device, *given: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Call a world model for its loss and the terms of it.

    With `training.precision = "bf16-mixed"` the batch is converted to bfloat16, torch chooses for each operation between bfloat16 and
    float32, and what comes out is float32.

    Args:
        model: The world model; called with `given`.
        config: The training options.
        device: Where the model computes.
        given: The batch and the other arguments.
    """
    if config.precision != MIXED:
        return model(*given)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        total, terms = model(*(_converted(value, torch.bfloat16) for value in given))
    return _converted(total, torch.float32), _converted(terms, torch.float32)


def _converted(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, dict):
        return {k: _converted(v, dtype) for k, v in value.items()}
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def clip_gradient(optimizer: torch.optim.Optimizer, most: float) -> Tensor:
    """Scale the gradient so that its norm is at most `most`, and return the norm that it had."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return nn.utils.clip_grad_norm_(parameters, most, error_if_nonfinite=False)
