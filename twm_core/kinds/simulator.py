"""Kind `simulator`: a world that can be stepped and intervened in, the ground truth of what-if questions. Not part of a recipe."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind


class SimulatorConfig(ComponentConfig):
    """Base of all simulator configs."""


KIND = Kind(
    name="simulator",
    summary="Traffic that can be reset, stepped, saved, restored and intervened in.",
    config=SimulatorConfig,
    interface="twm_core.simulation.interface:Simulator",
    specs="a seed, and interventions at every step",
    gives="frames: who is where at each step",
)
