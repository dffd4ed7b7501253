"""Configs of the reader and the simulator `sumo`. Torch- and numpy-free."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from twm_core.kinds.reader import ReaderConfig
from twm_core.kinds.simulator import SimulatorConfig

PresetName = Literal["motorway", "intersection", "roundabout"]
"""The ready-made networks."""


class SumoReaderConfig(ReaderConfig):
    """Where the files that belong to FCD output are, unless they lie beside it."""

    network: Path | None = Field(None, description="Network (.net.xml or .net.xml.gz); if none, the one in the folder of the FCD file.")
    types: tuple[Path, ...] = Field(
        (), description="Route and additional files with vehicle types; where empty, *.rou.xml and *.add.xml beside the FCD file."
    )
    lights: Path | None = Field(None, description="Output of SaveTLSStates; if none, NAME.tls.xml beside the FCD file NAME.fcd.xml.")


class SumoSimulatorConfig(SimulatorConfig):
    """What is simulated."""

    preset: PresetName = Field("motorway", description="Ready-made network and demand; not used where a network is given.")
    site: int = Field(0, ge=0, description="Number of the preset's site: it decides on geometry, lanes and signals.")
    density: float = Field(1.0, gt=0, le=5, description="Factor on the preset's traffic demand.")
    seconds: float = Field(600.0, gt=0, description="How long the preset's demand goes on; nobody enters afterwards.")
    imperfection: float = Field(
        0.0,
        ge=0,
        le=1,
        description="SUMO's sigma of the preset's drivers; above 0, interventions also reach others by shared random numbers.",
    )
    network: str = Field("", description="Own network (.net.xml); needs routes.")
    routes: tuple[str, ...] = Field((), description="Own route files with vehicle types and demand, used with network.")
    additional: tuple[str, ...] = Field((), description="Own additional files, used with network.")
    dt: float = Field(0.1, ge=0.001, le=1.0, description="Seconds of a step.")
    warmup: float = Field(30.0, ge=0, description="Seconds that are simulated before the first frame.")
    lane_change_seconds: float = Field(3.0, ge=0, description="Duration of a lane change; 0 jumps sideways within one step.")
    seed: int = Field(0, ge=0, description="Seed where reset is called without one.")
