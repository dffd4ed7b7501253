"""Episodes of an environment as scenarios, one after another, ready to be written into a store.

Episode n is reset with seed `first_seed + n`, runs `warm_up` seconds that are not kept, and is recorded for `seconds`. Everything after
that is as for recordings: features are derived backwards in time, lanes come from the environment or its map.
"""

from __future__ import annotations

from collections.abc import Iterator

from twm_core.data.derive import derive
from twm_core.data.scenario import Scenario
from twm_core.environment import Environment, record
from twm_core.errors import UsageError
from twm_core.reporting import Reporter


def episodes(
    environment: Environment,
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
        environment: Open; it is reset for every episode and stays open.
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
    steps, before = round(seconds / environment.dt), round(warm_up / environment.dt)
    if count < 1 or steps < 1 or before < 0:
        raise UsageError(
            f"{count} episodes of {seconds:g} s after {warm_up:g} s cannot be recorded in steps of {environment.dt:g} s",
            "record one episode or more, of one step or more",
        )
    for episode in range(count):
        seed = first_seed + episode
        frame = environment.reset(seed)
        for _ in range(before):
            frame = environment.step()
        frames = [frame, *(environment.step() for _ in range(steps))]
        yield derive(record(environment, frames, id=f"{name}/{seed}", group=f"{name}/{seed}"))
        if reporter is not None:
            reporter.progress(episode + 1, count, {})
