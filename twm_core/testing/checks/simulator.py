"""Promises of simulators: frames as declared, episodes that repeat, snapshots to which one can return, refusals that move nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from twm_core.data.recording import COLUMNS
from twm_core.data.scenario import LIGHT_STATES, OCCLUDED
from twm_core.errors import DataError, TwmError, UsageError
from twm_core.simulation.episodes import record
from twm_core.simulation.interface import Frame, Simulator
from twm_core.simulation.interventions import SetSpeed, Stop
from twm_core.specs import AGENT_TYPES
from twm_core.testing.checks.check import Check
from twm_core.testing.checks.reader import difference
from twm_core.testing.failure import NotApplicable, broken
from twm_core.testing.subjects.simulator import SimulatorSubject
from twm_core.testing.tolerance import rounding

_STEPS = 12

_FASTEST = 100.0
"""m/s: no road vehicle drives faster."""


def _run(world: Simulator, steps: int = _STEPS) -> list[Frame]:
    return [world.step() for _ in range(steps)]


def _told_apart(a: Sequence[Frame], b: Sequence[Frame]) -> str:
    """The first step and the fields in which two rows of frames differ; empty where they are equal."""
    for at, (one, other) in enumerate(zip(a, b, strict=True)):
        if fields := difference(one, other):
            return f"step {at} in {fields}"
    return ""


def frames_are_as_declared(subject: SimulatorSubject) -> None:
    """Frames are `dt` apart and hold, for agents of unique names, known types, the same columns at every step with finite positions,
    lanes out of `lane_names`, and states of the declared lights."""
    with subject.build() as world:
        frames = [world.reset(1), *_run(world)]
        lanes, lights, dt = len(world.lane_names), len(world.light_lanes), world.dt
        if world.light_stops.shape != (lights, 2):
            broken(f"light_stops has shape {world.light_stops.shape} for {lights} lights", "give a place [L, 2], NaN where unknown")
    if not any(f.names for f in frames):
        raise NotApplicable("nobody is there in its first steps")
    times = np.asarray([f.time for f in frames])
    if not np.allclose(np.diff(times), dt, rtol=0, atol=rounding(torch.float32) * (dt + np.abs(times).max())):
        broken(f"its frames are at {[f.time for f in frames[:4]]} s, dt is {dt:g}", "let every step advance by dt")
    for f in frames:
        n = len(f.names)
        arrays = (f.type, f.lane, *f.columns.values())
        if len(set(f.names)) != n or any(a.shape != (n,) for a in arrays) or f.lights.shape != (lights,):
            broken(f"at {f.time:g} s the arrays do not agree with {n} agents and {lights} lights, or a name stands there twice")
        if list(f.columns) != list(frames[0].columns) or not {"x", "y"} <= set(f.columns) <= set(COLUMNS):
            broken(f"at {f.time:g} s the columns are {', '.join(f.columns)}", "give x, y and others of COLUMNS, the same at every step")
        if not all(np.isfinite(f.columns[c]).all() for c in ("x", "y")):
            broken(f"at {f.time:g} s a position is not a finite number")
        for what, values, count in (
            ("types", f.type, len(AGENT_TYPES)),
            ("lanes", f.lane, lanes + 1),
            ("lights", f.lights, len(LIGHT_STATES)),
        ):
            if len(values) and not (values.min() >= 0 and values.max() < count):
                broken(f"at {f.time:g} s {what} are {np.unique(values).tolist()}, of {count}")


def same_seed_same_episode(subject: SimulatorSubject) -> None:
    """The same seed gives the same frames, bit for bit, in the same and in another simulator of the same config."""
    with subject.build() as world:
        frames = [world.reset(3), *_run(world)]
        again = [world.reset(3), *_run(world)]
    with subject.build() as world:
        elsewhere = [world.reset(3), *_run(world)]
    for what, others in (("a second time", again), ("in another simulator", elsewhere)):
        if told := _told_apart(frames, others):
            broken(f"{what}, seed 3 gives another {told}", "draw from generators that reset seeds")


def saving_changes_nothing(subject: SimulatorSubject) -> None:
    """The frames after `save` are those that would have followed without it."""
    with subject.build() as world:
        frames = [world.reset(1), *_run(world)]
        saved = [world.reset(1)]
        for _ in range(_STEPS):
            world.save()
            saved.append(world.step())
    if told := _told_apart(frames, saved):
        broken(f"when it is saved at every step it gives another {told}", "save must not advance or draw anything")


def restoring_replays(subject: SimulatorSubject) -> None:
    """`restore` gives the frame seen last before `save`, and the same steps after it, any number of times and in another simulator."""
    with subject.build() as world:
        world.reset(1)
        before = _run(world, 3)[-1]
        snapshot = world.save()
        frames = [before, *_run(world)]
        for _ in range(2):
            again = [world.restore(snapshot), *_run(world)]
            if told := _told_apart(frames, again):
                broken(f"restored, it gives another {told}", "a snapshot must hold everything that decides what follows")
    with subject.build() as other:
        if told := _told_apart(frames, [other.restore(snapshot), *_run(other)]):
            broken(f"restored in another simulator, it gives another {told}", "keep nothing of the snapshot outside it")


def impossible_interventions_move_nothing(subject: SimulatorSubject) -> None:
    """An intervention on an agent that is not there is a `DataError`; nothing has moved then, and no other intervention was carried out."""
    with subject.build() as world:
        first = world.reset(1)
        while not first.names and first.time < _STEPS:
            first = world.step()
        snapshot = world.save()
        frames = _run(world)
        world.restore(snapshot)
        others = [Stop(first.names[0], 5.0)] if first.names else []
        try:
            world.step([*others, SetSpeed("an agent that is not there", 1.0, 1.0)])
        except DataError:
            pass
        except TwmError as error:
            broken(f"it raises {type(error).__name__}: {error.message}", "raise DataError")
        else:
            broken("it steps as if nothing were wrong", "refuse what cannot be carried out")
        if told := _told_apart(frames, _run(world)):
            broken(f"after a refused intervention it gives another {told}", "look at all interventions before carrying out the first")


def snapshots_of_others_are_refused(subject: SimulatorSubject) -> None:
    """A snapshot of another simulator is refused with a `DataError`."""
    with subject.build() as world:
        world.reset(1)
        foreign = replace(world.save(), simulator="another simulator")
        try:
            world.restore(foreign)
        except DataError:
            return
        broken("it restores a snapshot of another simulator", "compare Snapshot.simulator")


def closing_is_final(subject: SimulatorSubject) -> None:
    """Before `reset` and after `close` there is nothing to step or save (`UsageError`); closing twice does nothing."""
    world = subject.build()
    try:
        _refuses("before reset", (world.step, world.save))
        world.reset(1)
    finally:
        world.close()
    world.close()
    _refuses("after close", (world.step, world.save, world.reset))


def _refuses(when: str, calls: Sequence[Callable[[], object]]) -> None:
    for call in calls:
        try:
            call()
        except UsageError:
            continue
        broken(f"{when}, {getattr(call, '__name__', 'it')}() does something", "raise UsageError")


def names_stay_with_their_agents(subject: SimulatorSubject) -> None:
    """No agent jumps: from one frame to the next a name is never further away than the fastest vehicle could drive. The frames make a
    `Recording` that holds every state."""
    with subject.build() as world:
        frames = [world.reset(1), *_run(world)]
        if not any(f.names for f in frames):
            raise NotApplicable("nobody is there in its first steps")
        recording, reach = record(world, frames, id="episode"), _FASTEST * world.dt
    for before, after in itertools.pairwise(frames):
        for i, name in enumerate(after.names):
            if name in before.names:
                j = before.names.index(name)
                away = float(np.hypot(*(after.columns[c][i] - before.columns[c][j] for c in ("x", "y"))))
                if away > reach:
                    broken(f"at {after.time:g} s agent {name} is {away:.1f} m from where it was", "let a name never mean another agent")
    states = sum(len(f.names) for f in frames)
    if int((recording.code != OCCLUDED).sum()) != states:
        broken(f"its frames show {states} states, the recording has {int((recording.code != OCCLUDED).sum())}")


_WHOLE = ("frames_are_as_declared", "same_seed_same_episode")

SIMULATOR = (
    Check(frames_are_as_declared, needs=("builds_its_kind",)),
    Check(same_seed_same_episode, needs=("frames_are_as_declared",)),
    Check(saving_changes_nothing, needs=_WHOLE),
    Check(restoring_replays, needs=(*_WHOLE, "saving_changes_nothing")),
    Check(impossible_interventions_move_nothing, needs=("restoring_replays",)),
    Check(snapshots_of_others_are_refused, needs=("builds_its_kind",)),
    Check(closing_is_final, needs=("builds_its_kind",)),
    Check(names_stay_with_their_agents, needs=_WHOLE),
)
