"""Driver models: IDM car following, the MOBIL lane-change rule, and how drivers and vehicles are drawn.

Car following is the intelligent driver model (Treiber, Hennecke, Helbing 2000):

    dv/dt = a [1 - (v / v0)⁴] - a (s* / s)²,     s* = s0 + max(0, v T + v Δv / (2 √(a b)))

with gap s and closing speed Δv. Above the desired speed the free term is `-b [1 - (v0 / v)²]` instead, in the spirit of the improved IDM
(Treiber & Kesting 2013, ch. 11), because the plain one brakes without bound where a limit drops. Lane changes follow MOBIL (Kesting,
Treiber, Helbing 2007): safe when the new follower need not brake harder than `b_safe`, wanted when own gain plus politeness times the
gain of both followers exceeds a threshold. Everything here is elementwise on arrays of any shape and uses + - * / and √ only, so that
a result does not depend on how vehicles are batched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHANGE_THRESHOLD = 0.2
"""Gain, m/s², that a free lane change must bring."""

LEAST_OPENING = 0.6
"""Gap, m, that must be open ahead and behind in the new lane."""

_LEAST_GAP = 0.1


def free_acceleration(v: Floats, desired: Floats, accel: Floats, brake: Floats) -> Floats:
    """Acceleration (m/s²) on an empty road at speed `v` with desired speed, maximum acceleration and comfortable braking."""
    ratio = v / desired
    square = ratio * ratio
    below = accel * (1.0 - square * square)
    above = brake * (1.0 / np.maximum(square, 1.0) - 1.0)
    return np.where(ratio <= 1.0, below, above)


def interaction(v: Floats, headway: Floats, standstill: Floats, accel: Floats, brake: Floats, gap: Floats, closing: Floats) -> Floats:
    """What a leader at `gap` metres (bumper to bumper) costs: `a (s* / s)²` in m/s², to subtract from the free acceleration."""
    dynamic = v * headway + 0.5 * v * closing / np.sqrt(accel * brake)
    wanted = (standstill + np.maximum(dynamic, 0.0)) / np.maximum(gap, _LEAST_GAP)
    return accel * wanted * wanted


def mobil_gain(own: Floats, new_follower: Floats, old_follower: Floats, politeness: Floats) -> Floats:
    """MOBIL's incentive (m/s²): own gain plus `politeness` times the gains of the new and the old follower (losses are negative)."""
    return own + politeness * (new_follower + old_follower)


def mobil_safe(own_after: Floats, follower_after: Floats, gap_ahead: Floats, gap_behind: Floats, limit: Floats) -> Bools:
    """MOBIL's safety: both gaps open, and neither the new follower nor the driver must brake harder than `limit` (m/s², positive)."""
    return (gap_ahead > LEAST_OPENING) & (gap_behind > LEAST_OPENING) & (own_after > -limit) & (follower_after > -limit)


@dataclass(frozen=True)
class Drivers:
    """Drawn drivers with their vehicles, one per entry of each array `[N]`.

    Attributes:
        truck: Whether the vehicle is a truck.
        compliance: Desired speed as a multiple of what limit and curves allow.
        top: Speed never desired above, m/s.
        headway: Time gap T, s.
        standstill: Gap at standstill s0, m.
        accel: Maximum acceleration a, m/s².
        brake: Comfortable braking b, m/s².
        politeness: MOBIL's p.
        noise: Standard deviation of the acceleration noise, m/s².
        duration: Seconds that a lane change takes.
        bias: Habitual distance from the lane centre, m.
        length: m.
        width: m.
    """

    truck: Bools
    compliance: Floats
    top: Floats
    headway: Floats
    standstill: Floats
    accel: Floats
    brake: Floats
    politeness: Floats
    noise: Floats
    duration: Floats
    bias: Floats
    length: Floats
    width: Floats


# (mean, deviation, least, most) of a clipped normal: car, truck.
_TRAITS: dict[str, tuple[tuple[float, float, float, float], tuple[float, float, float, float]]] = {
    "compliance": ((1.02, 0.10, 0.8, 1.25), (0.98, 0.05, 0.85, 1.1)),
    "top": ((42.0, 3.0, 33.0, 50.0), (23.6, 1.0, 21.5, 25.5)),
    "headway": ((1.15, 0.28, 0.7, 2.0), (1.6, 0.25, 1.1, 2.4)),
    "standstill": ((2.2, 0.4, 1.4, 3.5), (3.0, 0.5, 2.0, 4.5)),
    "accel": ((1.5, 0.25, 1.0, 2.2), (0.75, 0.12, 0.5, 1.1)),
    "brake": ((2.0, 0.3, 1.4, 2.8), (1.6, 0.2, 1.2, 2.2)),
    "politeness": ((0.25, 0.15, 0.0, 0.6), (0.3, 0.1, 0.1, 0.6)),
    "noise": ((0.18, 0.06, 0.05, 0.35), (0.08, 0.03, 0.03, 0.15)),
    "duration": ((5.3, 0.4, 4.8, 6.5), (6.2, 0.5, 5.2, 7.5)),
    "bias": ((0.0, 0.12, -0.3, 0.3), (0.0, 0.08, -0.2, 0.2)),
    "length": ((4.6, 0.35, 3.6, 5.6), (13.0, 3.0, 7.5, 16.8)),
    "width": ((1.82, 0.08, 1.6, 2.05), (2.5, 0.04, 2.35, 2.55)),
}


def draw_drivers(rng: np.random.Generator, count: int, *, trucks: float, faster: float) -> Drivers:
    """Draw `count` drivers.

    Args:
        rng: Where the randomness comes from.
        count: `N`.
        trucks: Share of trucks.
        faster: Added to the compliance of car drivers (drivers on left lanes want more).
    """
    kinds, traits = rng.spawn(2)
    truck = kinds.random(count) < trucks
    # One row per driver, so that drawing more drivers leaves the first ones as they are.
    normals = traits.standard_normal((count, len(_TRAITS)))
    drawn: dict[str, Floats] = {}
    for i, (name, (car, lorry)) in enumerate(_TRAITS.items()):
        mean, deviation, least, most = (np.where(truck, b, a) for a, b in zip(car, lorry, strict=True))
        drawn[name] = np.clip(mean + deviation * normals[:, i], least, most)
    drawn["compliance"] = drawn["compliance"] + np.where(truck, 0.0, faster)
    return Drivers(truck=truck, **drawn)
