"""The small scene that the examples of all readers of this plugin write: four agents, thirty steps, four lanes, a crossing, a light.

The recording vehicle and a cyclist are there all the time (the cyclist is hidden at two steps), a car comes later, a pedestrian
leaves early. Everything is in world coordinates in metres, x to the east, y to the north.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS, DT = 30, 0.1
ORIGIN = (1000.0, 2000.0)
LANE_WIDTH = 3.5


@dataclass(frozen=True)
class ExampleAgent:
    """One agent: name, kind (`car`, `pedestrian`, `bicycle`), where it is seen `[T]`, its motion `[T]` and its size in metres."""

    name: str
    kind: str
    valid: NDArray[np.bool_]
    x: Floats
    y: Floats
    heading: float
    speed: float
    length: float
    width: float
    height: float

    @property
    def vx(self) -> float:
        """Metres per second to the east."""
        return float(self.speed * np.cos(self.heading))

    @property
    def vy(self) -> float:
        """Metres per second to the north."""
        return float(self.speed * np.sin(self.heading))


@dataclass(frozen=True)
class ExampleLane:
    """One lane: number, centre line and boundaries `[P, 2]`, numbers of lanes around it (0 for none)."""

    id: int
    centre: Floats
    left_boundary: Floats
    right_boundary: Floats
    successor: int
    predecessor: int
    left: int
    right: int


def _agent(
    name: str,
    kind: str,
    first: int,
    last: int,
    start: tuple[float, float],
    heading: float,
    speed: float,
    size: tuple[float, float, float],
    hidden: tuple[int, ...] = (),
) -> ExampleAgent:
    step = np.arange(STEPS)
    valid = (step >= first) & (step <= last) & ~np.isin(step, hidden)
    along = speed * DT * step
    x = ORIGIN[0] + start[0] + along * np.cos(heading)
    y = ORIGIN[1] + start[1] + along * np.sin(heading)
    return ExampleAgent(name, kind, valid, x, y, heading, speed, *size)


def example_agents() -> list[ExampleAgent]:
    """The agents, the recording vehicle first."""
    return [
        _agent("1", "car", 0, STEPS - 1, (0.0, 0.0), 0.0, 10.0, (4.877, 2.0, 1.473)),
        _agent("2", "car", 5, STEPS - 1, (10.0, 3.5), 0.0, 8.0, (4.5, 1.8, 1.5)),
        _agent("3", "pedestrian", 0, 19, (40.0, -4.0), np.pi / 2, 1.2, (0.6, 0.6, 1.7)),
        _agent("4", "bicycle", 0, STEPS - 1, (60.0, 3.0), -0.1, 4.0, (1.8, 0.6, 1.6), hidden=(12, 13)),
    ]


def example_lanes() -> list[ExampleLane]:
    """Two lanes to the east, cut in two at the crossing."""
    lanes = []
    for number, (y, x0, x1, successor, predecessor, left, right) in enumerate(
        (
            (0.0, -20.0, 35.0, 12, 0, 13, 0),
            (0.0, 35.0, 120.0, 0, 11, 14, 0),
            (3.5, -20.0, 35.0, 14, 0, 0, 11),
            (3.5, 35.0, 120.0, 0, 13, 0, 12),
        ),
        start=11,
    ):
        x = ORIGIN[0] + np.linspace(x0, x1, 6)
        centre = np.stack([x, np.full(6, ORIGIN[1] + y)], axis=1)
        aside = np.array([0.0, LANE_WIDTH / 2])
        lanes.append(ExampleLane(number, centre, centre + aside, centre - aside, successor, predecessor, left, right))
    return lanes


def example_edges() -> list[Floats]:
    """The edges of the road, left and right, `[2, 2]` each."""
    x = ORIGIN[0] + np.array([-20.0, 120.0])
    return [np.stack([x, np.full(2, ORIGIN[1] + y)], axis=1) for y in (5.25, -1.75)]


def example_crossing() -> Floats:
    """The corners `[4, 2]` of the crossing, going round."""
    return np.asarray(ORIGIN) + np.array([[38.0, -1.75], [42.0, -1.75], [42.0, 5.25], [38.0, 5.25]])


LIGHT_LANE = 11
"""The lane that the light governs; it is red up to step 14 and green from then on, and is not seen at step 0."""

LIGHT_STOP = (ORIGIN[0] + 35.0, ORIGIN[1])
LIGHT_GREEN = 15
