"""The plugin `shapes`: a generated world of images, vectors, actions, rewards and ends. Declares only; imports neither torch nor numpy."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The dataset `shapes`."""
    return [
        Component(
            kind="dataset",
            name="shapes",
            summary="Bouncing shapes, one of them steered: images, vectors, actions, rewards and ends; nothing to download.",
            config="twm_shapes.config:ShapesConfig",
            build="twm_shapes.model:build",
        )
    ]
