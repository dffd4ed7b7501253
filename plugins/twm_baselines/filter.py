"""A Kalman filter for many tracks at once, whose two coordinates are independent and alike.

A coordinate has the state s = (position, velocity) or (position, velocity, acceleration), whose last entry is a random walk:

    s[k+1] = F s[k] + w,   w ~ N(0, q Q),      z[k] = s[k][0] + e,   e ~ N(0, r^2)

    velocity       F = [[1, d], [0, 1]]                       Q = [[d^3/3, d^2/2], [d^2/2, d]]
    acceleration   F = [[1, d, d^2/2], [0, 1, d], [0, 0, 1]]   Q = [[d^5/20, d^4/8, d^3/6], [d^4/8, d^3/3, d^2/2], [d^3/6, d^2/2, d]]

with d the seconds of a step (Bar-Shalom, Li and Kirubarajan, "Estimation with applications to tracking and navigation", 2001, ch. 6).
A track begins at its first measurement: position z with variance r^2, velocity 0 with variance v^2, acceleration 0 with variance a^2.
A step without a measurement is predicted only, so gaps cost certainty. Both coordinates share one covariance, because it does not depend
on what is measured. Everything is float64.

Shapes: `N` tracks, `T` steps, `n` entries of the state of a coordinate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Model = Literal["velocity", "acceleration"]


@dataclass(frozen=True)
class Noises:
    """What the filter does not know exactly.

    Attributes:
        process: `q`, m^2/s^3 or m^2/s^5.
        measurement: `r`, m.
        speed: `v`, m/s.
        acceleration: `a`, m/s^2; used by the model `acceleration` only.
    """

    process: float
    measurement: float
    speed: float
    acceleration: float = 1.0


class Filtered(NamedTuple):
    """After the last step.

    Attributes:
        mean: `[N,n,2]`, the state of both coordinates.
        covariance: `[N,n,n]`, of each of them.
        log_likelihood: `[N]`, log-density of every measurement but the first, given those before it, in nats.
        counted: `[N]`, how many measurements those are.
    """

    mean: Tensor
    covariance: Tensor
    log_likelihood: Tensor
    counted: Tensor


def transition(dt: Tensor, model: Model) -> Tensor:
    """`F` for steps of `dt` `[N]` seconds, `[N,n,n]`."""
    one, zero = torch.ones_like(dt), torch.zeros_like(dt)
    if model == "velocity":
        return _matrix([[one, dt], [zero, one]])
    return _matrix([[one, dt, dt.square() / 2], [zero, one, dt], [zero, zero, one]])


def process_noise(dt: Tensor, model: Model) -> Tensor:
    """`Q` for a spectral density of 1, `[N,n,n]`."""
    if model == "velocity":
        return _matrix([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
    return _matrix([[dt**5 / 20, dt**4 / 8, dt**3 / 6], [dt**4 / 8, dt**3 / 3, dt**2 / 2], [dt**3 / 6, dt**2 / 2, dt]])


def run_filter(measured: Tensor, known: Tensor, dt: Tensor, noises: Noises, model: Model) -> Filtered:
    """Filter the measurements of many tracks.

    Args:
        measured: `[N,T,2]`, metres; what stands where nothing is known is not read.
        known: bool `[N,T]`.
        dt: Seconds of a step, `[N]`.
        noises: Their sizes.
        model: What stays constant.
    """
    measured, dt = torch.where(known[..., None], measured, 0.0).double(), dt.double()
    move, noise = transition(dt, model), noises.process * process_noise(dt, model)
    tracks, steps, _ = measured.shape
    start = [noises.measurement, noises.speed, noises.acceleration][: move.shape[-1]]
    initial = torch.diag(torch.tensor(start, dtype=torch.float64, device=dt.device).square()).expand_as(move)
    mean = measured.new_zeros(tracks, move.shape[-1], 2)
    covariance = initial
    likelihood, counted = measured.new_zeros(tracks), measured.new_zeros(tracks)
    begun = torch.zeros_like(known[:, 0])
    for k in range(steps):
        here, z = known[:, k], measured[:, k]
        mean, covariance = move @ mean, move @ covariance @ move.mT + noise
        spread = covariance[:, 0, 0] + noises.measurement**2
        gain = covariance[:, :, 0] / spread[:, None]  # N n
        error = z - mean[:, 0]  # N 2
        later = here & begun
        density = -error.square().sum(dim=-1) / (2 * spread) - torch.log(2 * math.pi * spread)
        likelihood = likelihood + torch.where(later, density, 0.0)
        counted = counted + later
        # Joseph's form: stays symmetric and positive where measurements are much better than predictions.
        keep = torch.eye(move.shape[-1], dtype=torch.float64, device=dt.device).repeat(tracks, 1, 1)
        keep[:, :, 0] -= gain
        corrected = keep @ covariance @ keep.mT + noises.measurement**2 * gain[:, :, None] * gain[:, None, :]
        first = torch.zeros_like(mean)
        first[:, 0] = z
        begins = (here & ~begun)[:, None, None]
        mean = torch.where(begins, first, torch.where(later[:, None, None], mean + gain[:, :, None] * error[:, None], mean))
        covariance = torch.where(begins, initial, torch.where(later[:, None, None], corrected, covariance))
        begun = begun | here
    # A track that has not begun stands at 0 with the initial covariance: finite, and read by nobody.
    waiting = ~begun[:, None, None]
    return Filtered(torch.where(waiting, 0.0, mean), torch.where(waiting, initial, covariance), likelihood, counted)


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
