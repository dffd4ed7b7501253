"""From SUMO's conventions to those of twm: bumpers and degrees to centres and radians, scalars to vectors. All arrays `[R]`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap

Floats = NDArray[np.float64]


def heading_of(angle: Floats) -> Floats:
    """Degrees clockwise from north as radians counter-clockwise from east, in [-pi, pi)."""
    return wrap(np.pi / 2 - np.radians(angle))


def centres(x: Floats, y: Floats, heading: Floats, length: Floats) -> tuple[Floats, Floats]:
    """Centre of the box of an agent whose front bumper is at `x`, `y`."""
    return x - length / 2 * np.cos(heading), y - length / 2 * np.sin(heading)


def accelerations(along: Floats, speed: Floats, heading: Floats, yaw_rate: Floats) -> tuple[Floats, Floats]:
    """The acceleration as a vector: `along` the heading, and speed times yaw rate across it (to the left)."""
    across = speed * yaw_rate
    return along * np.cos(heading) - across * np.sin(heading), along * np.sin(heading) + across * np.cos(heading)
