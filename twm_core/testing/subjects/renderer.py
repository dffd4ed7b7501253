"""Renderers: built from their config alone, and given a scenario with all that one may have, and one with positions only."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from twm_core.data.features.derive import derive
from twm_core.data.recording import Recording
from twm_core.data.renderer import Drawn, Renderer
from twm_core.data.scenario import OBSERVED, Lane, Lights, RoadMap, Scenario
from twm_core.errors import UsageError
from twm_core.specs import AGENT_TYPES
from twm_core.testing.failure import NotApplicable
from twm_core.testing.subjects.base import Situation, Subject

STEPS, DT = 40, 0.1
NOBODY = (14, 17)
"""First and last step of a stretch in which nobody is there."""

_TRACKS = (("a", "car", 0, 12), ("b", "pedestrian", 2, 12), ("c", "truck", 20, 20))
"""Name, type, first step, number of steps."""


def scenario(*, rich: bool) -> Scenario:
    """Three agents on a street, with nobody in between; a road and a traffic light where it is rich."""
    steps = np.concatenate([np.arange(first, first + length) for _, _, first, length in _TRACKS])
    row = np.concatenate([np.full(length, i) for i, (_, _, _, length) in enumerate(_TRACKS)])
    columns = {"x": 6.0 * DT * steps + 3.0 * row, "y": 5.0 * row + 0.01 * steps}
    more: dict[str, Any] = {}
    if rich:
        columns |= {"heading": np.full(len(row), 0.02), "length": np.full(len(row), 4.4), "width": np.full(len(row), 1.8)}
        lane = Lane(id="l", centre=np.stack([np.linspace(-10, 40, 11), np.zeros(11)], axis=1), width=4.0)
        more = {"road": RoadMap((lane,)), "lights": Lights(("l",), np.ones((1, STEPS), dtype=np.uint8), np.asarray([[30.0, 2.0]]))}
    return derive(
        Recording(
            id="street/one",
            site="street",
            group="street",
            dt=DT,
            steps=STEPS,
            track=tuple(name for name, _, _, _ in _TRACKS),
            type=np.asarray([AGENT_TYPES.index(kind) for _, kind, _, _ in _TRACKS]),
            first=np.asarray([first for _, _, first, _ in _TRACKS]),
            length=np.asarray([length for _, _, _, length in _TRACKS]),
            columns=columns,
            code=np.full(len(row), OBSERVED, dtype=np.uint8),
            **more,
        )
    )


class RendererSubject(Subject):
    """A renderer and what it draws."""

    specs: bool

    @staticmethod
    def situations() -> Iterator[Situation]:
        yield Situation("a street with a map and a light", lambda config: True)
        yield Situation("points on an empty plane", lambda config: False)

    def build(self, seed: int = 0) -> Any:
        del seed  # nothing random in a picture
        return self.registered.load_build()(self.config)

    @cached_property
    def scenario(self) -> Scenario:
        """What is drawn."""
        return scenario(rich=self.specs)

    @cached_property
    def folder(self) -> Path:
        """Where files are drawn; it goes away with the subject."""
        folder = Path(tempfile.mkdtemp(prefix="twm-drawn-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def draw(self, name: str, *, first: int | None = None, last: int | None = None) -> Drawn:
        """Draw into a file of this name.

        Raises:
            NotApplicable: A package that it needs is not installed.
        """
        renderer: Renderer = self.instance
        try:
            return renderer.draw(self.scenario, self.folder / f"{name}{renderer.suffix}", first=first, last=last)
        except UsageError as error:
            raise NotApplicable(f"{error.message} ({error.hint})") from error

    def use(self) -> None:
        self.draw("use")
