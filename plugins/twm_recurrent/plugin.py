"""What this plugin provides. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The dynamics `gru`."""
    return [
        Component(
            kind="dynamics",
            name="gru",
            summary="Deterministic GRU that predicts the next embedding, for the scene or for each agent with shared weights.",
            config="twm_recurrent.config:GRUConfig",
            build="twm_recurrent.model:build",
        )
    ]
