"""Who drives: vehicle types and arrivals of a site, as route files of SUMO.

Arrivals of each movement are a Poisson process. Every vehicle is of one of the types below, whose shares depend on the mix; its desired
speed is the limit (or its own top speed) times a factor that SUMO draws from the type's normal distribution. The same site, seed, seconds
and density give the same files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twm_sumo.sites.site import Site


@dataclass(frozen=True)
class _Type:
    id: str
    vehicle_class: str
    length: float
    width: float
    height: float
    top: float
    accel: float
    decel: float
    tau: float
    spread: float


_TYPES = (
    _Type("car-mini", "passenger", 3.6, 1.65, 1.50, 45, 2.4, 4.5, 1.2, 0.09),
    _Type("car-small", "passenger", 4.1, 1.75, 1.47, 50, 2.6, 4.5, 1.1, 0.10),
    _Type("car-medium", "passenger", 4.4, 1.80, 1.47, 55, 2.7, 4.5, 1.0, 0.10),
    _Type("car-large", "passenger", 4.8, 1.85, 1.46, 60, 2.9, 4.5, 1.0, 0.12),
    _Type("car-suv", "passenger", 4.7, 1.92, 1.70, 55, 2.6, 4.5, 1.1, 0.10),
    _Type("van", "delivery", 5.9, 2.05, 2.50, 40, 2.0, 4.2, 1.3, 0.08),
    _Type("truck-rigid", "truck", 9.0, 2.50, 3.60, 25, 1.3, 4.0, 1.5, 0.05),
    _Type("truck-articulated", "trailer", 16.5, 2.55, 4.00, 24, 1.0, 4.0, 1.6, 0.04),
    _Type("bus", "bus", 12.0, 2.55, 3.20, 27.8, 1.2, 4.0, 1.4, 0.05),
    _Type("motorcycle", "motorcycle", 2.2, 0.85, 1.50, 55, 4.0, 5.0, 1.0, 0.12),
)

MIXES = {
    "motorway": (0.08, 0.20, 0.24, 0.18, 0.11, 0.05, 0.03, 0.07, 0.02, 0.02),
    "town": (0.12, 0.25, 0.22, 0.12, 0.11, 0.07, 0.04, 0.0, 0.03, 0.04),
}
"""Shares of the types, in their order."""


def write_types(path: Path, *, imperfection: float = 0.3) -> None:
    """Write the vehicle types.

    Args:
        path: Where to write.
        imperfection: SUMO's sigma: how much drivers fall short of the speed they could drive, at random, from 0 to 1.
    """
    rows = ["<routes>", *(_type(t, imperfection) for t in _TYPES), "</routes>", ""]
    path.write_text("\n".join(rows), encoding="utf-8", newline="\n")


def write_demand(site: Site, path: Path, *, seconds: float, seed: int, density: float) -> int:
    """Write the vehicles of `seconds` of demand, of the types of `write_types`; returns how many want to drive.

    Args:
        site: The site.
        path: Where to write.
        seconds: From time 0.
        seed: Of arrivals and types.
        density: Factor on the demand of the site.
    """
    rng = np.random.default_rng([seed, int(site.name.rpartition("-")[2]), 4])
    rows = ["<routes>", *(f'  <route id="{m.name}" edges="{" ".join(m.edges)}"/>' for m in site.movements)]
    departures: list[tuple[float, str, str]] = []
    for movement in site.movements:
        times = np.sort(rng.uniform(0.0, seconds, size=rng.poisson(movement.per_hour * density * seconds / 3600.0)))
        kinds = rng.choice(len(_TYPES), size=len(times), p=MIXES[site.mix])
        departures += [(float(t), movement.name, _TYPES[int(k)].id) for t, k in zip(times, kinds, strict=True)]
    for i, (time, route, kind) in enumerate(sorted(departures)):
        rows.append(f'  <vehicle id="{i}" type="{kind}" route="{route}" depart="{time:.2f}" departLane="best" departSpeed="max"/>')
    path.write_text("\n".join([*rows, "</routes>", ""]), encoding="utf-8", newline="\n")
    return len(departures)


def _type(t: _Type, sigma: float) -> str:
    # The imperfection of the driver (sigma) is drawn once a second, not at every step, which would make accelerations flicker. Sideways
    # speed is bounded by a share of the speed, so that nobody turns by more than 9 degrees to change lanes in a queue.
    return (
        f'  <vType id="{t.id}" vClass="{t.vehicle_class}" length="{t.length}" width="{t.width}" height="{t.height}" maxSpeed="{t.top}"'
        f' accel="{t.accel}" decel="{t.decel}" tau="{t.tau}" sigma="{sigma:g}" sigmaStep="1" minGap="2.0" lcAssertive="1.3"'
        f' lcMaxSpeedLatStanding="0" lcMaxSpeedLatFactor="0.15" speedFactor="normc(1.0,{t.spread},0.7,1.3)"/>'
    )
