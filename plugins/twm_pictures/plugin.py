"""Declares the renderers `png` and `gif`. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="renderer",
            name="png",
            summary="A still picture: the road map and every track on it, from pale to full colour.",
            config="twm_pictures.config:StillConfig",
            build="twm_pictures.renderers:build_still",
        ),
        Component(
            kind="renderer",
            name="gif",
            summary="A moving picture: boxes with trails, traffic lights and a clock.",
            config="twm_pictures.config:MovingConfig",
            build="twm_pictures.renderers:build_moving",
        ),
    ]
