"""The simulator interface: a traffic world that can be stepped, saved, restored and intervened in. NumPy only, no torch.

What it shows is what a recording holds: `twm_core.simulation.episodes` makes recordings of its frames, and answers what-if questions with
ground truth. `twm_core.simulation.interventions` has what can be done to it.

Contract of every simulator, beside those of the methods:

* Deterministic: the same seed and the same interventions at the same steps give the same frames, bit for bit.
* `save` changes nothing: the frames that follow are those that would have followed without it.
* After `restore(snapshot)`, `step` gives what it gave after `save`, bit for bit, as long as the interventions are the same; a snapshot can
  be restored any number of times, by any simulator of the same config, also in another process (it can be pickled).
* An intervention acts from the step to which it is given; what it does shows in the frame that this step returns.
* Names of agents are unique within an episode (from one `reset` to the next): a name never means another agent. An agent may be out of
  sight for some steps and come back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import RoadMap
from twm_core.simulation.interventions import Intervention


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is seen at one step; conventions (SI, world frame, centres of boxes) are those of a `Recording`.

    Attributes:
        time: Seconds since the beginning of the simulation; two frames are `dt` apart.
        names: Names of the `N` agents that are there, in a fixed order.
        type: int64 `[N]`, index into `twm_core.specs.AGENT_TYPES`.
        columns: float64 `[N]` each, names out of `twm_core.data.recording.COLUMNS`; the same ones at every step.
        lane: int64 `[N]`, 1 + index into the simulator's `lane_names`, 0 where unknown.
        lights: uint8 `[L]`, states of the simulator's `light_lanes`, index into `twm_core.data.scenario.LIGHT_STATES`.
        events: What went wrong in this step, by name and how often ("collisions": 1).
    """

    time: float
    names: tuple[str, ...]
    type: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.float64]]
    lane: NDArray[np.int64]
    lights: NDArray[np.uint8]
    events: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A state of a simulator, to return to.

    Attributes:
        simulator: What it belongs to: a simulator restores only snapshots of the same.
        time: Seconds, as in the frame.
        state: What the simulator needs; nobody else reads it.
    """

    simulator: str
    time: float
    state: bytes


class Simulator(ABC):
    """A traffic world; what the `build` of a simulator component returns (`build(config)` gets the config alone).

    A context manager: leaving it closes the simulator. Nothing but `close` may be called afterwards, and nothing before `reset` but
    `reset`, `restore` and `close` (a `UsageError`).

    Attributes:
        dt: Seconds of a step.
        site: Name of the place.
        road: The road map in the frame of the positions, or None.
        lane_names: What `Frame.lane` counts.
        light_lanes: The lanes that the states in `Frame.lights` govern.
        light_stops: float64 `[L, 2]`, where one stops at them; NaN where unknown.
    """

    dt: float
    site: str
    road: RoadMap | None
    lane_names: tuple[str, ...]
    light_lanes: tuple[str, ...]
    light_stops: NDArray[np.float64]

    @abstractmethod
    def reset(self, seed: int | None = None) -> Frame:
        """Begin an episode; the first frame.

        Args:
            seed: The same seed gives the same episode; None for that of the config.
        """

    @abstractmethod
    def step(self, interventions: Sequence[Intervention] = ()) -> Frame:
        """Advance by `dt`.

        Raises:
            DataError: An intervention cannot be carried out; the world has not moved, and none of them was carried out.
        """

    @abstractmethod
    def save(self) -> Snapshot:
        """The present state."""

    @abstractmethod
    def restore(self, snapshot: Snapshot) -> Frame:
        """Return to a saved state; the frame that was seen last before it was saved.

        Raises:
            DataError: The snapshot belongs to another simulator.
        """

    @abstractmethod
    def close(self) -> None:
        """Free everything; calling it twice does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
