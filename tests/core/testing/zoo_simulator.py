"""A healthy world of agents on a line, and what may be wrong with one."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence

import numpy as np
from zoo_configs import ZooSimulator

from twm_core.errors import DataError, UsageError
from twm_core.simulation.interface import Frame, Simulator, Snapshot
from twm_core.simulation.interventions import Intervention, SetSpeed, Stop

_RUNS = itertools.count()


class Line(Simulator):
    dt, site, road, lane_names, light_lanes = 0.5, "line", None, ("lane",), ("lane",)
    light_stops = np.zeros((1, 2))

    def __init__(self, config: ZooSimulator) -> None:
        self.fault = config.fault
        self.state: dict[str, list[float]] | None = None
        self.closed = False
        self.hidden = 0

    def _open(self) -> dict[str, list[float]]:
        if self.closed or self.state is None:
            if self.fault == "works when it is closed" and self.closed:
                return {"now": [0.0]}
            raise UsageError("this world is not open", "reset it")
        return self.state

    def reset(self, seed: int | None = None) -> Frame:
        if self.closed and self.fault != "works when it is closed":
            raise UsageError("this world is closed", "make another one")
        draw = random.Random(seed)
        start = [100.0 * i + draw.random() + (next(_RUNS) if self.fault == "forgets the seed" else 0) for i in range(3)]
        self.hidden = 0
        self.state = {"now": [0.0], "x": start, "v": [draw.random() + 1 for _ in start]}
        return self._frame()

    def step(self, interventions: Sequence[Intervention] = ()) -> Frame:
        state = self._open()
        names = self._names(state)
        for each in interventions:
            if getattr(each, "agent", "") not in names:
                if self.fault != "ignores what it cannot do":
                    raise DataError(f"there is no agent {each}", f"agents are {names}")
            elif isinstance(each, SetSpeed | Stop) and self.fault == "acts before it looks":
                state["v"][names.index(each.agent)] = 0.0
        for each in interventions:
            if isinstance(each, SetSpeed | Stop) and each.agent in names:
                state["v"][names.index(each.agent)] = getattr(each, "speed", 0.0)
        state["now"][0] += 1
        self.hidden += 1
        wind = 0.01 * self.hidden if self.fault == "keeps something back" else 0.0
        state["x"] = [x + (v + wind) * self.dt for x, v in zip(state["x"], state["v"], strict=True)]
        return self._frame()

    @staticmethod
    def _names(state: dict[str, list[float]]) -> tuple[str, ...]:
        return tuple(f"agent {i}" for i in range(2 if state["now"][0] < 3 else 3))

    def _frame(self) -> Frame:
        state = self._open()
        names = self._names(state)
        n, now = len(names), state["now"][0]
        y = np.zeros(n)
        return Frame(
            time=now * self.dt * (2 if self.fault == "has another clock" else 1),
            names=names[::-1] if self.fault == "gives names to others" and now % 2 else names,
            type=np.ones(n, dtype=np.int64),
            columns={"x": np.asarray(state["x"][:n]), "y": y},
            lane=np.ones(n, dtype=np.int64),
            lights=np.asarray([int(now) % 2], dtype=np.uint8),
        )

    def save(self) -> Snapshot:
        state = self._open()
        if self.fault == "moves when it is saved":
            state["x"][0] += 0.001
        return Snapshot("line", state["now"][0] * self.dt, json.dumps(state).encode())

    def restore(self, snapshot: Snapshot) -> Frame:
        if snapshot.simulator != "line" and self.fault != "takes any snapshot":
            raise DataError(f"this is a snapshot of {snapshot.simulator}", "restore those of this world")
        self.state = json.loads(snapshot.state)
        return self._frame()

    def close(self) -> None:
        self.closed = True


def build(config: ZooSimulator) -> Line:
    return Line(config)
