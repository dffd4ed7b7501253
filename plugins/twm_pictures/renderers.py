"""The renderers as the kind wants them, on top of `still` and `animation`."""

from __future__ import annotations

from pathlib import Path

from twm_core.data.renderer import Drawn, Renderer
from twm_core.data.scenario import Scenario
from twm_pictures.animation import draw_gif
from twm_pictures.config import MovingConfig, StillConfig
from twm_pictures.still import draw_png


class Still(Renderer):
    """PNG.

    Args:
        config: Its options.
    """

    suffix = ".png"

    def __init__(self, config: StillConfig) -> None:
        self.config = config

    def draw(self, scenario: Scenario, path: Path, *, first: int | None = None, last: int | None = None) -> Drawn:
        end = None if last is None else min(last, scenario.steps - 1)
        return draw_png(scenario, path, title=self.config.title or None, first=first, last=end)


class Moving(Renderer):
    """GIF. Where no steps are given, it shows the busiest 20 s (40 s of recordings slower than 4 Hz).

    Args:
        config: Its options.
    """

    suffix = ".gif"

    def __init__(self, config: MovingConfig) -> None:
        self.config = config

    def draw(self, scenario: Scenario, path: Path, *, first: int | None = None, last: int | None = None) -> Drawn:
        return draw_gif(scenario, path, first=first, last=last, fps=self.config.fps)


def build_still(config: StillConfig) -> Still:
    """The renderer `png`."""
    return Still(config)


def build_moving(config: MovingConfig) -> Moving:
    """The renderer `gif`."""
    return Moving(config)
