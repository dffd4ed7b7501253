"""Declares the protocols. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl

_SUMMARIES = {
    "ethucy-sgan": (
        "pedestrians:EthUcySganConfig",
        "ETH/UCY leave-one-out, windows with two or more pedestrians (Social-GAN), best of 20.",
    ),
    "ethucy-all": ("pedestrians:EthUcyAllConfig", "ETH/UCY leave-one-out, every window, best of 20."),
    "ngsim-cslstm": ("vehicles:NgsimConfig", "NGSIM US-101 and I-80 as in CS-LSTM: 3 s of history, 5 s predicted at 5 Hz, one future."),
    "vehicles": (
        "vehicles:VehiclesConfig",
        "Vehicles in CommonRoad files: 1 s observed, 3 s predicted, split by vehicle, best of 6.",
    ),
    "motorway": ("vehicles:MotorwayConfig", "Simulated motorways at three held-out sites: 1 s observed, 5 s predicted, best of 6."),
    "sumo": ("vehicles:SumoConfig", "Traffic recorded with SUMO at held-out sites: 1 s observed, 3 s predicted, best of 6."),
}


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="protocol",
            name=name,
            summary=summary,
            config=f"twm_protocols.{config}",
            build="twm_core.evaluation.protocol:build",
        )
        for name, (config, summary) in _SUMMARIES.items()
    ]
