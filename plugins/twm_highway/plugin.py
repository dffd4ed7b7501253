"""The plugin `highway`: twm's embedded default dataset. Declares only; imports neither torch nor numpy."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The dataset `highway`."""
    return [
        Component(
            kind="dataset",
            name="highway",
            summary="Simulated multi-lane motorway traffic (IDM + MOBIL) with ramps and stop-and-go; nothing to download.",
            config="twm_highway.config:HighwayConfig",
            build="twm_highway.model:build",
        )
    ]
