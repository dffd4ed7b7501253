"""Configs of the renderers. Torch-free."""

from __future__ import annotations

from pydantic import Field

from twm_core import RendererConfig


class StillConfig(RendererConfig):
    """A picture of everything between the first and the last step."""

    title: str = Field("", description="Heading of the picture; the scenario's id and site where empty.")


class MovingConfig(RendererConfig):
    """An animation."""

    fps: float = Field(10.0, gt=0, description="Most frames per second of the recording; rarer steps are shown where the file grows large.")
