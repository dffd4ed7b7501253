"""Frames of a simulator as recordings: one episode (`record`), a what-if question (`what_if`), and many episodes for a store (`episodes`).

Episode n is reset with seed `first_seed + n`, runs `warm_up` seconds that are not kept, and is recorded for `seconds`. Everything after
that is as for recordings: features are derived backwards in time, lanes come from the simulator or its map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from twm_core.data.features.derive import derive
from twm_core.data.importing.tracks import Rows, make_recording
from twm_core.data.recording import Recording
from twm_core.data.scenario import Lights, Scenario
from twm_core.errors import DataError, UsageError
from twm_core.reporting import Reporter
from twm_core.simulation.interface import Frame, Simulator, Snapshot
from twm_core.simulation.interventions import Intervention


def record(simulator: Simulator, frames: Sequence[Frame], *, id: str, group: str = "") -> Recording:
    """Consecutive frames of one episode as a recording.

    Args:
        simulator: Where they come from: it gives map, lanes and lights.
        frames: At least one with an agent.
        id: Name of the recording.
        group: Name of what it is a piece of; `id` by default.

    Raises:
        DataError: There is no agent in any frame, or the frames are not `dt` apart.
    """
    times = np.asarray([f.time for f in frames])
    if not len(frames) or (np.abs(np.diff(times) - simulator.dt) > 1e-6).any():
        raise DataError(
            f"recording {id}: {len(frames)} frames are not {simulator.dt:g} s apart", "give every frame of one episode, in order"
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
        site=simulator.site,
        group=group or id,
        start=float(times[0]),
        dt=simulator.dt,
        lane_names=simulator.lane_names,
        road=simulator.road,
        lights=Lights(simulator.light_lanes, np.stack([f.lights for f in frames], axis=1), simulator.light_stops)
        if simulator.light_lanes
        else None,
    )
    ordered = list(number)
    track = tuple(ordered[int(n.partition("#")[0])] + "".join(n.partition("#")[1:]) for n in found.track)
    return replace(found, track=track)


def what_if(
    simulator: Simulator, snapshot: Snapshot, interventions: Sequence[Intervention] | Mapping[int, Sequence[Intervention]], steps: int
) -> tuple[Recording, Recording]:
    """What happens from a snapshot without interventions, and what with them: ground truth of a what-if question.

    Args:
        simulator: Whose snapshot it is; it is left at the end of the counterfactual future.
        snapshot: Where both futures begin: their step 0 is the same frame.
        interventions: Those of the first step, or those of several steps by number (0 leads to step 1).
        steps: How far, at least 1; both recordings have `steps + 1` steps.

    Returns:
        The factual and the counterfactual recording.

    Raises:
        DataError: The snapshot belongs to another simulator, or an intervention cannot be carried out.
    """
    planned = interventions if isinstance(interventions, Mapping) else {0: interventions}
    if steps < 1 or any(not 0 <= at < steps for at in planned):
        raise DataError(
            f"interventions at steps {sorted(planned)} of {steps}", "give a future of a step or more, and interventions within it"
        )
    found = []
    nothing: Mapping[int, Sequence[Intervention]] = {}
    for name, plan in (("factual", nothing), ("counterfactual", planned)):
        frames = [simulator.restore(snapshot)]
        frames += [simulator.step(plan.get(at, ())) for at in range(steps)]
        found.append(record(simulator, frames, id=name, group="what-if"))
    return found[0], found[1]


def episodes(
    simulator: Simulator,
    *,
    name: str,
    count: int,
    seconds: float,
    warm_up: float = 0.0,
    first_seed: int = 0,
    reporter: Reporter | None = None,
) -> Iterator[Scenario]:
    """Record episodes.

    Args:
        simulator: Open; it is reset for every episode and stays open.
        name: Of the scenarios: `NAME/SEED`.
        count: How many episodes.
        seconds: Of each that are kept, both ends included; at least one step.
        warm_up: Seconds before them.
        first_seed: Seed of the first episode.
        reporter: Hears about progress.

    Raises:
        UsageError: There is no episode, or one is shorter than a step.
        DataError: Nobody is there in an episode.
    """
    steps, before = round(seconds / simulator.dt), round(warm_up / simulator.dt)
    if count < 1 or steps < 1 or before < 0:
        raise UsageError(
            f"{count} episodes of {seconds:g} s after {warm_up:g} s cannot be recorded in steps of {simulator.dt:g} s",
            "record one episode or more, of one step or more",
        )
    for episode in range(count):
        seed = first_seed + episode
        frame = simulator.reset(seed)
        for _ in range(before):
            frame = simulator.step()
        frames = [frame, *(simulator.step() for _ in range(steps))]
        yield derive(record(simulator, frames, id=f"{name}/{seed}", group=f"{name}/{seed}"))
        if reporter is not None:
            reporter.progress(episode + 1, count, {})
