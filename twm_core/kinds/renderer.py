"""Kind `renderer`: draws a scenario into a file. Not part of a recipe: `twm data show` chooses some."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind


class RendererConfig(ComponentConfig):
    """Base of all renderer configs."""


KIND = Kind(
    name="renderer",
    summary="Draws a scenario, its road map and its tracks, into a file.",
    config=RendererConfig,
    interface="twm_core.data.renderer:Renderer",
    several=True,
    specs="a scenario, and which steps of it",
    gives="a file",
)
