"""Interventions: what can be done to the traffic of a simulator. SI units, angles in radians; neither torch nor NumPy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SetSpeed:
    """Drive at `speed` (m/s) for `seconds`, as far as the agent's own acceleration and deceleration allow; traffic in front is heeded."""

    agent: str
    speed: float
    seconds: float


@dataclass(frozen=True)
class SetAcceleration:
    """Accelerate (below 0: brake) at `acceleration` (m/s^2) for `seconds`, whatever the driver would do; speed stays at 0 or above."""

    agent: str
    acceleration: float
    seconds: float


@dataclass(frozen=True)
class ChangeLane:
    """Change by `lanes` (1: one to the left, -1: one to the right) and stay there for `seconds`."""

    agent: str
    lanes: int
    seconds: float = 5.0


@dataclass(frozen=True)
class ChangeRoute:
    """Drive to the road `destination` (its name without the number of the lane) by the shortest way."""

    agent: str
    destination: str


@dataclass(frozen=True)
class Stop:
    """Come to a halt on the own lane, braking comfortably, and stand for `seconds`."""

    agent: str
    seconds: float


@dataclass(frozen=True)
class Remove:
    """Take the agent out of the world."""

    agent: str


@dataclass(frozen=True)
class Add:
    """Put a new agent into the world.

    Attributes:
        agent: Its name; no agent of the episode has it.
        kind: Name of its kind in the simulator (a vehicle type).
        lane: Name of the lane on which it begins, out of `lane_names`.
        position: Metres from the beginning of the lane to its front.
        speed: Metres per second.
        destination: Road to which it drives; "" for wherever its lane leads.
    """

    agent: str
    kind: str
    lane: str
    position: float
    speed: float
    destination: str = ""


@dataclass(frozen=True)
class SetLights:
    """Let a traffic light show `state` (a word of the simulator's own letters) for `seconds`, then go on with its programme."""

    light: str
    state: str
    seconds: float


Intervention = SetSpeed | SetAcceleration | ChangeLane | ChangeRoute | Stop | Remove | Add | SetLights
"""All kinds. A simulator refuses one that it cannot carry out (no such agent, no such lane) with a `DataError`, before it steps."""
