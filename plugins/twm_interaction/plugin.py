"""Declares the reader `interaction`."""

from __future__ import annotations

from collections.abc import Sequence

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> Sequence[Component]:
    """The reader of this plugin."""
    return [
        Component(
            kind="reader",
            name="interaction",
            summary="Vehicles and pedestrians of the INTERACTION dataset with their lanelet2 maps.",
            config="twm_interaction.config:InteractionConfig",
            build="twm_interaction.reader:build",
        )
    ]
