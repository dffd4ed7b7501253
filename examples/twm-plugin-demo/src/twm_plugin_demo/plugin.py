"""What this distribution adds to twm: the target of its entry point. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The dynamics `selective-ssm`."""
    return [
        Component(
            kind="dynamics",
            name="selective-ssm",
            summary="Selective state-space model (Mamba) that predicts the next embedding, for the scene or for each agent.",
            config="twm_plugin_demo.config:SelectiveSSMConfig",
            build="twm_plugin_demo.model:build",
        )
    ]
