"""What this plugin provides. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The dynamics `transformer`."""
    return [
        Component(
            kind="dynamics",
            name="transformer",
            summary="Causal Transformer over time that predicts the next embedding, for the scene or for each agent with shared weights.",
            config="twm_transformer.config:TransformerConfig",
            build="twm_transformer.model:build",
        )
    ]
