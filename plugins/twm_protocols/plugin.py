"""Declares the protocols. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl

_SUMMARIES = {
    "ethucy-sgan": ("EthUcySganConfig", "ETH/UCY leave-one-out, windows with two pedestrians or more as in Social-GAN, best of 20."),
    "ethucy-all": ("EthUcyAllConfig", "ETH/UCY leave-one-out, every window, best of 20."),
    "ngsim-cslstm": ("NgsimConfig", "NGSIM US-101 and I-80 as in CS-LSTM: 3 s of history, 5 s predicted at 5 Hz, one future."),
    "vehicles": ("VehiclesConfig", "Recorded vehicles in CommonRoad files: 1 s observed, 3 s predicted, split by vehicle, best of 6."),
    "motorway": ("MotorwayConfig", "Simulated motorways at three held-out sites: 1 s observed, 5 s predicted, best of 6."),
    "sumo": ("SumoConfig", "Traffic recorded with SUMO at held-out sites: 1 s observed, 3 s predicted, best of 6."),
}


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="protocol",
            name=name,
            summary=summary,
            config=f"twm_protocols.config:{config}",
            build="twm_core.scoring.protocol:build",
        )
        for name, (config, summary) in _SUMMARIES.items()
    ]
