"""Parameters of the intelligent driver model by least squares on training windows.

What is minimised is the mean squared error of the distance travelled, over the vehicles and the steps at which they are still there
without a gap, when all vehicles of the window are rolled forward together:

    mean over vehicles and steps of (s_model[h] - s[h])^2,      s[h] = sum of |p[k] - p[k-1]| up to h

Errors of accelerations would weigh the noise of differences; errors of roll-outs weigh what forecasts are scored by (Treiber & Kesting,
"Traffic Flow Dynamics", 2013, ch. 17, call this global calibration). The search is a compass search over the logarithms: the best of one
step up or down in each parameter, half the step where none is better. It starts from the usual values for motorways, moves a parameter
only where that helps, and so leaves alone what the data does not tell (no limit: no compliance).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from torch import Tensor

from twm_baselines.car_following import Candidates, Parameters, Traffic, roll

BOUNDS = {
    "desired_speed": (1.0, 70.0),
    "compliance": (0.3, 2.0),
    "headway": (0.2, 5.0),
    "standstill": (0.5, 10.0),
    "acceleration": (0.1, 5.0),
    "braking": (0.2, 8.0),
}
FIRST, FINEST = 0.5, 0.03
"""Steps of the search in the logarithm: 65 % at first, 3 % at last."""


class Travelled(NamedTuple):
    """A batch to fit to: the traffic, m that everybody then travelled `[B,H,A]`, and where that counts, bool `[B,H,A]`."""

    traffic: Traffic
    distance: Tensor
    counted: Tensor


def squared_errors(parts: Sequence[Travelled], candidates: Sequence[Parameters]) -> list[float]:
    """The mean squared error of the distance travelled, m^2, with each of some parameters. All of them are rolled forward at once."""
    totals, count = [0.0] * len(candidates), 0
    for part in parts:
        rows = len(part.distance)
        drivers = Candidates.of(candidates, rows, part.traffic.speed)
        guess, _ = roll(part.traffic.repeated(len(candidates)), drivers, part.distance.shape[1])
        for number, each in enumerate(guess.split(rows)):
            totals[number] += float((each - part.distance).double().square()[part.counted].sum())
        count += int(part.counted.sum())
    return [total / max(count, 1) for total in totals]


def fit_parameters(parts: Sequence[Travelled], *, given: Mapping[str, float]) -> Parameters:
    """The parameters of least squared error; those that are given stay as they are."""
    best = Parameters(**given)
    (error,) = squared_errors(parts, [best])
    free = [n for n in BOUNDS if n not in given]
    step = FIRST
    while step >= FINEST:
        tried = [p for name in free for p in _neighbours(best, name, step)]
        least, candidate = min(zip(squared_errors(parts, tried), tried, strict=True), key=lambda pair: pair[0])
        if least < error * (1 - 1e-4):
            error, best = least, candidate
        else:
            step /= 2
    return best


def _neighbours(parameters: Parameters, name: str, step: float) -> list[Parameters]:
    low, high = BOUNDS[name]
    value = getattr(parameters, name)
    return [Parameters(**{**asdict(parameters), name: min(high, max(low, value * math.exp(d)))}) for d in (-step, step)]
