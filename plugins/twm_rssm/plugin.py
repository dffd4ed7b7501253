"""What this plugin provides. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The dynamics `rssm-cat` and `rssm-gauss`."""
    return [
        Component(
            kind="dynamics",
            name="rssm-cat",
            summary="DreamerV3's recurrent state-space model with categorical latents, for scenes or interacting agents.",
            config="twm_rssm.config:RSSMCatConfig",
            build="twm_rssm.model:build",
        ),
        Component(
            kind="dynamics",
            name="rssm-gauss",
            summary="DreamerV3's recurrent state-space model with Gaussian latents, for scenes or interacting agents.",
            config="twm_rssm.config:RSSMGaussConfig",
            build="twm_rssm.model:build",
        ),
    ]
