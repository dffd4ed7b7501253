"""What agents of each type can do: the numbers behind the doctor's thresholds. Reasons stand in `twm_core.data.doctor.findings.CATALOGUE`.

Limits are generous on purpose. A finding should be worth looking at: a fast car is none, a car at 300 km/h is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twm_core.specs import AGENT_TYPES


@dataclass(frozen=True)
class Limits:
    """Bounds for one type of agent.

    Attributes:
        speed: Fastest, m/s.
        acceleration: Hardest in any direction, m/s^2.
        noise: How far from its true place a recorded position may be taken to lie, m.
        motor: Whether it is a motor vehicle on four wheels or more, which keeps to lanes and cannot walk sideways.
    """

    speed: float
    acceleration: float
    noise: float
    motor: bool = False


LIMITS = {
    "unknown": Limits(speed=80, acceleration=12, noise=2),
    "car": Limits(speed=70, acceleration=12, noise=2, motor=True),
    "truck": Limits(speed=45, acceleration=12, noise=2, motor=True),
    "bus": Limits(speed=45, acceleration=12, noise=2, motor=True),
    "motorcycle": Limits(speed=80, acceleration=12, noise=2),
    "bicycle": Limits(speed=20, acceleration=8, noise=1),
    "pedestrian": Limits(speed=12.5, acceleration=8, noise=1),
    "other": Limits(speed=80, acceleration=12, noise=2),
}

SPEED, ACCELERATION, NOISE = (np.array([getattr(LIMITS[t], f) for t in AGENT_TYPES]) for f in ("speed", "acceleration", "noise"))
MOTOR = np.array([LIMITS[t].motor for t in AGENT_TYPES])
TURNS = np.array([LIMITS[t].motor or t in ("motorcycle", "bicycle") for t in AGENT_TYPES])
"""By type index: the limits, whether it is a motor vehicle, and whether it moves where it points."""

WINDOW = 0.5
"""Seconds over which speeds, accelerations and directions are measured, so that noise of single positions does not count."""

VELOCITY_OFF, VELOCITY_SHARE = 1.0, 0.25
"""A recorded velocity may differ by so many m/s and by such a share of the speed."""

MOVING = 2.0
"""From this speed on, in m/s, the direction of motion is trusted."""

HEADING_OFF, HEADING_SHARE = np.deg2rad(45.0), 0.2
"""A vehicle may drive so far off its heading, and farther for such a share of its moving time."""

HEADING_STILL, HEADING_TURN = 1e-4, np.deg2rad(20.0)
"""A heading is constant if it varies by less; an agent turns if the direction of its motion varies by more. In radians."""

TOUCHING_MOTOR, TOUCHING = 0.5, 0.1
"""Centres may not be closer than so many metres, for two motor vehicles and for others."""

SIZE = (0.05, 40.0)
"""Lengths and widths lie between these, in metres."""

LANE_SHARE = 0.05
"""Share of rows whose lane may be unknown."""

CAR_LENGTH = (2.5, 7.5)
WALKING, DRIVING, STANDING = 3.0, 45.0, 0.3
"""Medians that look like metres: the length of cars; speeds of moving pedestrians and vehicles at most; the fastest at least."""
