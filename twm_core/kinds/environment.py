"""Kind `environment`: a world that can be stepped and intervened in, the ground truth of what-if questions. Not part of a recipe."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind


class EnvironmentConfig(ComponentConfig):
    """Base of all environment configs."""


KIND = Kind(
    name="environment",
    summary="A world that can be reset, stepped, saved, restored and intervened in, such as a traffic simulator.",
    config=EnvironmentConfig,
    interface="twm_core.environment:Environment",
    in_recipe=False,
    given="a seed, and interventions at every step",
    gives="frames: who is where at each step",
)
