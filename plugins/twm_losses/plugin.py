"""Declares the losses `huber`, `existence`, `kl` and `rollout`. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="loss",
            name="huber",
            summary="Huber loss on reconstructed states and on states predicted one step ahead.",
            config="twm_losses.config:HuberConfig",
            build="twm_losses.huber:build",
        ),
        Component(
            kind="loss",
            name="existence",
            summary="Binary cross-entropy on whether an agent that has been seen is still there.",
            config="twm_losses.config:ExistenceConfig",
            build="twm_losses.existence:build",
        ),
        Component(
            kind="loss",
            name="kl",
            summary="KL between posterior and prior latents, split into dynamics and representation parts, with free nats.",
            config="twm_losses.config:KLConfig",
            build="twm_losses.kl:build",
        ),
        Component(
            kind="loss",
            name="rollout",
            summary="Huber loss on positions of open-loop rollouts, on all sampled futures and on the best one.",
            config="twm_losses.config:RolloutConfig",
            build="twm_losses.rollout:build",
        ),
    ]
