"""A healthy renderer that writes numbers, and what may be wrong with one."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from zoo_configs import ZooRenderer

from twm_core.data.renderer import Drawn, Renderer
from twm_core.data.scenario import Scenario
from twm_core.errors import DataError

_CALLS = itertools.count()


class ZooRendererModel(Renderer):
    suffix = ".txt"

    def __init__(self, config: ZooRenderer) -> None:
        self.fault = config.fault
        if self.fault == "has no suffix":
            self.suffix = "txt"

    def draw(self, scenario: Scenario, path: Path, *, first: int | None = None, last: int | None = None) -> Drawn:
        if self.fault == "shows everything":
            first, last = None, None
        begin = 0 if first is None else first
        end = scenario.steps - 1 if last is None else last if self.fault == "goes beyond the end" else min(last, scenario.steps - 1)
        track = np.repeat(np.arange(len(scenario.track)), scenario.length)
        step = np.concatenate([np.arange(f, f + n) for f, n in zip(scenario.first, scenario.length, strict=True)])
        seen = (step >= begin) & (step <= end)
        text = f"{scenario.id} {scenario.state[seen][:, :2].round(2).tolist()}"
        if self.fault == "writes before it looks":
            path.write_text("nobody", encoding="utf-8")
        if not seen.any() and self.fault != "draws nobody":
            raise DataError("no agent is seen", "choose other steps")
        if self.fault == "writes the time":
            text += str(next(_CALLS))
        if self.fault == "moves the agents":
            scenario.state[:, 0] += 1
        if self.fault == "writes elsewhere":
            path = path.with_suffix(".other")
        path.write_text(text, encoding="utf-8")
        agents = len(np.unique(track[seen])) + (self.fault == "miscounts")
        return Drawn(path, agents, begin, end, 1, 1)


def build(config: ZooRenderer) -> ZooRendererModel:
    return ZooRendererModel(config)
