"""Noises of the Kalman filter by maximum likelihood: those under which the next measurement is least surprising, over training tracks.

    log L(q, r) = sum over tracks and steps of log N(z[k]; prediction from z[<k], S[k] I)

the prediction error decomposition (Harvey, "Forecasting, structural time series models and the Kalman filter", 1989, ch. 3). It is
maximised over log q and log r: first over a grid of whole decades, then, within those decades, by a compass search that halves its step
from half a decade to `FINEST`. The deviation of velocities before anything is measured is not of this likelihood's business (it moves the
second measurement only): it is the root mean square of the velocity components between the first two measurements of the tracks.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from twm_baselines.filter import Model, Noises, run_filter
from twm_core.data.dataset import Windows
from twm_core.data.windows.loader import evenly_spaced
from twm_core.errors import DataError
from twm_core.specs import ObservationSpec

PROCESS = range(-5, 4)
MEASUREMENT = range(-3, 2)
"""Decades within which noises are looked for; nothing is measured to less than a millimetre."""

FINEST = 0.02
"""Decades: 5 % of a noise."""

_ROWS = 64


def training_tracks(windows: Windows, obs_spec: ObservationSpec, *, most_windows: int, most_tracks: int) -> tuple[Tensor, Tensor, Tensor]:
    """Positions `[N,T,2]`, whether they are known, bool `[N,T]`, and seconds of a step `[N]`, of tracks that are seen twice at least.

    Whole windows are used, predicted steps included: they are training windows.

    Raises:
        DataError: There is no such track.
    """
    state = obs_spec.get("agents.state")
    xy = [state.index("x"), state.index("y")]
    indices = evenly_spaced(windows, most_windows)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for at in range(0, len(indices), _ROWS):
        batch = windows.batch(indices[at : at + _ROWS])
        # A window may span episodes; the tracks of its first one are used.
        known = batch["agents.exists"] & _first_episode(batch["is_first"])[..., None]
        known = known.transpose(1, 2).flatten(0, 1)  # B*A T
        position = batch["agents.state"][..., xy].transpose(1, 2).flatten(0, 1)
        dt = batch["dt"][:, None].expand(-1, batch["agents.exists"].shape[2]).flatten()
        enough = known.sum(dim=1) >= 2
        found.append((position[enough], known[enough], dt[enough]))
    total = sum(len(part[2]) for part in found)
    if not total:
        raise DataError("baseline kalman: no agent is seen twice in the training windows", "give it other windows, or set its noises")
    position, known, dt = (torch.cat([part[i] for part in found]) for i in range(3))
    keep = torch.tensor([i * total // most_tracks for i in range(most_tracks)] if total > most_tracks else list(range(total)))
    return position[keep].double(), known[keep], dt[keep].double()


def first_speed(position: Tensor, known: Tensor, dt: Tensor) -> float:
    """Root mean square of a velocity component between the first two measurements of each track, m/s; at least 0.01."""
    order = torch.where(known, torch.arange(known.shape[1]), known.shape[1]).sort(dim=1).values[:, :2]
    one, two = (position.gather(1, order[:, i, None, None].expand(-1, 1, 2))[:, 0] for i in range(2))
    velocity = (two - one) / ((order[:, 1] - order[:, 0]) * dt)[:, None]
    return max(0.01, float(velocity.square().mean().sqrt()))


def fit_noises(
    position: Tensor,
    known: Tensor,
    dt: Tensor,
    *,
    model: Model,
    process: float | None = None,
    measurement: float | None = None,
    speed: float | None = None,
    acceleration: float = 1.0,
) -> Noises:
    """The noises of greatest likelihood; those that are given stay as they are.

    Args:
        position: `[N,T,2]`, metres.
        known: bool `[N,T]`.
        dt: Seconds of a step, `[N]`.
        model: What stays constant.
        process: `q`, where it is given.
        measurement: `r`, where it is given.
        speed: `v`, where it is given.
        acceleration: `a`.
    """
    speed = first_speed(position, known, dt) if speed is None else speed

    def noises(point: tuple[float, float]) -> Noises:
        q, r = (10.0**p for p in point)
        return Noises(q if process is None else process, r if measurement is None else measurement, speed, acceleration)

    tried: dict[tuple[float, float], float] = {}

    def likelihood(point: tuple[float, float]) -> float:
        if point not in tried:
            tried[point] = float(run_filter(position, known, dt, noises(point), model).log_likelihood.sum())
        return tried[point]

    free = (process is None, measurement is None)
    grid = itertools.product(PROCESS if free[0] else (0,), MEASUREMENT if free[1] else (0,))
    best = max(((float(q), float(r)) for q, r in grid), key=likelihood)
    step = 0.5
    while step >= FINEST and any(free):
        around = [(best[0] + i * step, best[1]) for i in (-1, 1) if free[0]] + [(best[0], best[1] + i * step) for i in (-1, 1) if free[1]]
        candidate = max((_within(point) for point in around), key=likelihood)
        if likelihood(candidate) > likelihood(best):
            best = candidate
        else:
            step /= 2
    return noises(best)


def _within(point: tuple[float, float]) -> tuple[float, float]:
    q, r = point
    return min(max(q, PROCESS[0]), PROCESS[-1]), min(max(r, MEASUREMENT[0]), MEASUREMENT[-1])


def _first_episode(is_first: Tensor) -> Tensor:
    """Steps of the episode that the window begins with, bool `[B,T]`."""
    again = is_first.clone()
    again[:, 0] = False
    return again.cumsum(dim=1) == 0
