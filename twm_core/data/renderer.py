"""Drawing scenarios: what a renderer is and what it says of a file that it wrote. `twm data show` calls renderers.

Positions are metres in the scenario's local frame, x to the right and y upwards. Torch-free.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from twm_core.data.scenario import Scenario


@dataclass(frozen=True)
class Drawn:
    """A file that was drawn: how many agents and which steps (first to last, every `every`-th) it shows, in how many frames."""

    path: Path
    agents: int
    first: int
    last: int
    every: int
    frames: int


class Renderer(ABC):
    """Draws scenarios.

    Attributes:
        suffix: Of the files that it writes, such as `.png`.
    """

    suffix: ClassVar[str]

    @abstractmethod
    def draw(self, scenario: Scenario, path: Path, *, first: int | None = None, last: int | None = None) -> Drawn:
        """Draw a scenario into a file. The same scenario, steps and options give the same bytes.

        Args:
            scenario: Needs the features `x` and `y`; heading, sizes, road and lights are used where it has them.
            path: The file to write; replaced if it exists.
            first: First step that is shown; None leaves the choice to the renderer.
            last: Last step that is shown, at most the scenario's last one.

        Raises:
            DataError: No agent is seen between these steps; nothing is written.
            UsageError: A package that it needs is not installed.
        """
