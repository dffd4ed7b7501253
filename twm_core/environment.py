"""The environment interface: a traffic world that can be stepped, saved, restored and intervened in. NumPy only, no torch.

It answers what-if questions with ground truth: from the same snapshot, what happens with an intervention and what without it
(`what_if`). What it shows is what a recording holds, so that its frames become recordings (`record`) and a world model sees no difference.

Contract of every environment, beside those of the methods:

* Deterministic: the same seed and the same interventions at the same steps give the same frames, bit for bit.
* `save` changes nothing: the frames that follow are those that would have followed without it.
* After `restore(snapshot)`, `step` gives what it gave after `save`, bit for bit, as long as the interventions are the same; a snapshot can
  be restored any number of times, by any environment of the same config, also in another process (it can be pickled).
* An intervention acts from the step to which it is given; what it does shows in the frame that this step returns.
* Names of agents are unique within an episode (from one `reset` to the next): a name never means another agent. An agent may be out of
  sight for some steps and come back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from twm_core.data.recording import Recording
from twm_core.data.scenario import Lights, RoadMap
from twm_core.data.tracks import Rows, make_recording
from twm_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What is seen at one step; conventions (SI, world frame, centres of boxes) are those of a `Recording`.

    Attributes:
        time: Seconds since the beginning of the simulation; two frames are `dt` apart.
        names: Names of the `N` agents that are there, in a fixed order.
        type: int64 `[N]`, index into `twm_core.specs.AGENT_TYPES`.
        columns: float64 `[N]` each, names out of `twm_core.data.recording.COLUMNS`; the same ones at every step.
        lane: int64 `[N]`, 1 + index into the environment's `lane_names`, 0 where unknown.
        lights: uint8 `[L]`, states of the environment's `light_lanes`, index into `twm_core.data.scenario.LIGHT_STATES`.
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
        kind: Name of its kind in the environment (a vehicle type).
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
    """Let a traffic light show `state` (a word of the environment's own letters) for `seconds`, then go on with its programme."""

    light: str
    state: str
    seconds: float


Intervention = SetSpeed | SetAcceleration | ChangeLane | ChangeRoute | Stop | Remove | Add | SetLights
"""All kinds. An environment refuses one that it cannot carry out (no such agent, no such lane) with a `DataError`, before it steps."""


@dataclass(frozen=True)
class Snapshot:
    """A state of an environment, to return to.

    Attributes:
        environment: What it belongs to: an environment restores only snapshots of the same.
        time: Seconds, as in the frame.
        state: What the environment needs; nobody else reads it.
    """

    environment: str
    time: float
    state: bytes


class Environment(ABC):
    """A traffic world; what the `build` of an environment component returns (`build(config)` gets the config alone).

    A context manager: leaving it closes the environment. Nothing but `close` may be called afterwards, and nothing before `reset` but
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
            DataError: The snapshot belongs to another environment.
        """

    @abstractmethod
    def close(self) -> None:
        """Free everything; calling it twice does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def record(environment: Environment, frames: Sequence[Frame], *, id: str, group: str = "") -> Recording:
    """Consecutive frames of one episode as a recording.

    Args:
        environment: Where they come from: it gives map, lanes and lights.
        frames: At least one with an agent.
        id: Name of the recording.
        group: Name of what it is a piece of; `id` by default.

    Raises:
        DataError: There is no agent in any frame, or the frames are not `dt` apart.
    """
    times = np.asarray([f.time for f in frames])
    if not len(frames) or (np.abs(np.diff(times) - environment.dt) > 1e-6).any():
        raise DataError(
            f"recording {id}: {len(frames)} frames are not {environment.dt:g} s apart", "give every frame of one episode, in order"
        )
    names = [name for f in frames for name in f.names]
    if not names:
        raise DataError(f"recording {id}: no agent is there at any of its {len(frames)} steps", "begin later, or with more traffic")
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    found = make_recording(
        Rows(
            track=np.asarray([number[n] for n in names], dtype=np.int64),
            step=np.repeat(np.arange(len(frames)), [len(f.names) for f in frames]),
            columns={c: np.concatenate([f.columns[c] for f in frames]) for c in frames[0].columns},
            type=np.concatenate([f.type for f in frames]),
            lane=np.concatenate([f.lane for f in frames]),
        ),
        file=id,
        steps=len(frames),
        id=id,
        site=environment.site,
        group=group or id,
        start=float(times[0]),
        dt=environment.dt,
        lane_names=environment.lane_names,
        road=environment.road,
        lights=Lights(environment.light_lanes, np.stack([f.lights for f in frames], axis=1), environment.light_stops)
        if environment.light_lanes
        else None,
    )
    ordered = list(number)
    track = tuple(ordered[int(n.partition("#")[0])] + "".join(n.partition("#")[1:]) for n in found.track)
    return replace(found, track=track)


def what_if(
    environment: Environment, snapshot: Snapshot, interventions: Sequence[Intervention] | Mapping[int, Sequence[Intervention]], steps: int
) -> tuple[Recording, Recording]:
    """What happens from a snapshot without interventions, and what with them: ground truth of a what-if question.

    Args:
        environment: Whose snapshot it is; it is left at the end of the counterfactual future.
        snapshot: Where both futures begin: their step 0 is the same frame.
        interventions: Those of the first step, or those of several steps by number (0 leads to step 1).
        steps: How far, at least 1; both recordings have `steps + 1` steps.

    Returns:
        The factual and the counterfactual recording.

    Raises:
        DataError: The snapshot belongs to another environment, or an intervention cannot be carried out.
    """
    planned = interventions if isinstance(interventions, Mapping) else {0: interventions}
    if steps < 1 or any(not 0 <= at < steps for at in planned):
        raise DataError(
            f"interventions at steps {sorted(planned)} of {steps}", "give a future of a step or more, and interventions within it"
        )
    found = []
    nothing: Mapping[int, Sequence[Intervention]] = {}
    for name, plan in (("factual", nothing), ("counterfactual", planned)):
        frames = [environment.restore(snapshot)]
        frames += [environment.step(plan.get(at, ())) for at in range(steps)]
        found.append(record(environment, frames, id=name, group="what-if"))
    return found[0], found[1]
