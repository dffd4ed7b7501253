"""Declares the encoder `multiagent`. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="encoder",
            name="multiagent",
            summary="Transformer over agents, each in its own frame with its nearest neighbours; a scene token and agent tokens.",
            config="twm_multiagent.config:MultiAgentConfig",
            build="twm_multiagent.model:build",
            layout_version=2,
            upgrade="twm_multiagent.upgrade:upgrade",
        )
    ]
