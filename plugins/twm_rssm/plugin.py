"""What this plugin provides. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The dynamics `rssm-cat`."""
    return [
        Component(
            kind="dynamics",
            name="rssm-cat",
            summary="DreamerV3's recurrent state-space model with a block GRU and categorical latents, for scenes or interacting agents.",
            config="twm_rssm.config:RSSMCatConfig",
            build="twm_rssm.model:build",
        )
    ]
