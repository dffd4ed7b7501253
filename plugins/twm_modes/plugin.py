"""Declares the decoder `modes` and the loss `modes`. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="decoder",
            name="modes",
            summary="Whole futures of each agent at once, one for each of several learned queries, and how probable each is.",
            config="twm_modes.config:ModesDecoderConfig",
            build="twm_modes.decoder:build",
            layout_version=2,
            upgrade="twm_modes.upgrade:upgrade",
        ),
        Component(
            kind="loss",
            name="modes",
            summary="Winner takes all over the futures that the decoder modes gives, evolving from all of them to the best one.",
            config="twm_modes.config:ModesLossConfig",
            build="twm_modes.loss:build",
        ),
    ]
