"""Declares the encoder `roadmap`. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="encoder",
            name="roadmap",
            summary="CNN on the map raster: a scene token of all of it, and for each agent a token of what lies around it.",
            config="twm_roadmap.config:RoadMapConfig",
            build="twm_roadmap.model:build",
        )
    ]
