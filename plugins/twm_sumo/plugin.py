"""Declares the reader `sumo`, the simulator `sumo` and the command `twm data simulate`. Imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> Sequence[Component]:
    """The reader and the simulator."""
    return [
        Component(
            kind="reader",
            name="sumo",
            summary="SUMO's FCD output (XML or CSV, plain or gzip) with its network, vehicle types and traffic lights.",
            config="twm_sumo.config:SumoReaderConfig",
            build="twm_sumo.reader:build",
        ),
        Component(
            kind="simulator",
            name="sumo",
            summary="SUMO, live and headless: a motorway, a crossing, a roundabout or your own network, to step and to intervene in.",
            config="twm_sumo.config:SumoSimulatorConfig",
            build="twm_sumo.simulator:build",
        ),
    ]


@hookimpl
def twm_commands() -> Mapping[str, str]:
    """`twm data simulate`."""
    return {"data simulate": "twm_sumo.command:simulate"}
