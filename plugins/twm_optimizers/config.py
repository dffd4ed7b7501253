"""Configs of the optimizers. Torch-free."""

from __future__ import annotations

from pydantic import Field

from twm_core import OptimizerConfig


class AdamWConfig(OptimizerConfig):
    """AdamW."""

    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay of matrices.")
    agc: float = Field(
        0.0, ge=0, description="Adaptive clipping: largest norm of a tensor's gradient as a share of the tensor's norm; 0 is off."
    )


class LaPropConfig(OptimizerConfig):
    """LaProp, with DreamerV3's clipping."""

    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of matrices.")
    agc: float = Field(
        0.3, ge=0, description="Adaptive clipping: largest norm of a tensor's gradient as a share of the tensor's norm; 0 is off."
    )
