"""Declares the metric `realism`. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="metric",
            name="realism",
            summary="Realism of simulated futures after the Waymo Open Sim Agents Challenge, with rates of collisions and headways.",
            config="twm_realism.config:RealismConfig",
            build="twm_realism.metric:build",
        ),
    ]
