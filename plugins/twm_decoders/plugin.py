"""Declares the decoder `agents`. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="decoder",
            name="agents",
            summary="Agent motion as a residual to a kinematic prior, in each agent's own frame, and existence.",
            config="twm_decoders.config:AgentsConfig",
            build="twm_decoders.agents:build",
        )
    ]
