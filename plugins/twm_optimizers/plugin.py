"""Declares the optimizers `adamw` and `laprop`. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="optimizer",
            name="adamw",
            summary="Adam with decoupled weight decay, and adaptive clipping where it is asked for.",
            config="twm_optimizers.config:AdamWConfig",
            build="twm_optimizers.adamw:build",
        ),
        Component(
            kind="optimizer",
            name="laprop",
            summary="Momentum of normalized gradients with adaptive clipping; DreamerV3's.",
            config="twm_optimizers.config:LaPropConfig",
            build="twm_optimizers.laprop:build",
        ),
    ]
