"""Kind `optimizer`: turns gradients into new weights. The learning rate of each step is the training loop's."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind


class OptimizerConfig(ComponentConfig):
    """Base of all optimizer configs."""


KIND = Kind(
    name="optimizer",
    summary="Turns gradients into new weights, at the learning rate that the training loop sets before every step.",
    config=OptimizerConfig,
    interface="torch.optim:Optimizer",
    default="adamw",
    specs="parameters by name, and the highest learning rate",
    gives="new weights at every step",
)
