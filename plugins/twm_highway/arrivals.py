"""Who arrives when, at every entry of every run, and how vehicles enter the road where there is room.

Arrivals are a Poisson process with a least time between two vehicles (shifted exponential headways). Everything is drawn beforehand,
each purpose from a stream of its own, so that neither the length of a run nor the other runs change what happens earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from twm_highway.drivers import Drivers, draw_drivers
from twm_highway.fleet import FAR, Fleet
from twm_highway.sites import Site

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAST_HEADWAY = 1.0
_OUTFLOW_SECONDS = 11.0


class Arrivals:
    """The vehicles of `R` runs before they enter.

    Args:
        site: Where they enter.
        rngs: One generator per run; streams are spawned from it.
        seconds: For how long vehicles arrive.

    Attributes:
        drivers: The drawn vehicles of each run; a vehicle's id is its position there (`number at the entry * entries + entry`).
    """

    def __init__(self, site: Site, rngs: Sequence[np.random.Generator], seconds: float) -> None:
        self.site = site
        ramp = site.on_ramp
        self._rows = [*range(site.lanes), *([site.on_row] if ramp is not None else [])]
        flows = [*[site.flow] * site.lanes, *([ramp.flow] if ramp is not None else [])]
        count = int(seconds * max(flows) * 1.5) + 40
        times: list[Floats] = []
        drivers: list[Drivers] = []
        leaving: list[NDArray[np.bool_]] = []
        for rng in rngs:
            arrivals: list[Floats] = []
            people: list[Drivers] = []
            for row, flow, stream in zip(self._rows, flows, rng.spawn(len(flows)), strict=True):
                headways, exits, traits = stream.spawn(3)
                least = min(_LEAST_HEADWAY, 0.4 / flow)
                arrivals.append(np.cumsum(least + (1 / flow - least) * headways.standard_exponential(count)))
                trucks = site.trucks * (1.0 if row == 0 else 0.5 if row in (1, site.on_row) else 0.0)
                people.append(draw_drivers(traits, count, trucks=trucks, faster=0.04 * row if row < site.lanes else 0.0))
                share = site.off_ramp.share if site.off_ramp is not None and row < 2 else 0.0
                leaving.append(exits.random(count) < share)
            times.append(np.stack(arrivals))
            drivers.append(Drivers(**{f.name: np.stack([getattr(p, f.name) for p in people], axis=1).ravel() for f in fields(Drivers)}))
        self.drivers = tuple(drivers)
        self._times = np.stack(times)
        self._traits = np.stack([[getattr(d, name) for d in drivers] for name in Fleet.TRAITS])
        self._trucks = np.stack([d.truck for d in drivers])
        self._leaving = np.stack(leaving).reshape(len(rngs), len(flows), count).transpose(0, 2, 1).reshape(len(rngs), -1)
        self._next = np.zeros((len(rngs), len(flows)), dtype=np.int64)
        self._runs = np.arange(len(rngs))

    def waiting(self, now: float) -> Ints:
        """`[R]`: vehicles that have arrived until `now` (s) and have not found room to enter."""
        return (self._times <= now).sum(axis=(1, 2)) - self._next.sum(axis=1)

    def enter(self, fleet: Fleet, step: int, now: float, profile: Floats) -> None:
        """Let vehicles whose time has come enter where there is room; the others wait. One entry is looked at in a step, in turn.

        Args:
            fleet: The vehicles on the road, changed in place.
            step: Number of the step.
            now: Seconds since the start.
            profile: The speed that the road allows at every metre.
        """
        entry = step % len(self._rows)
        slot = np.minimum(self._next[:, entry], self._times.shape[2] - 1)
        run = np.flatnonzero(self._times[self._runs, entry, slot] <= now)
        if not len(run):
            return
        row = self._rows[entry]
        ramp = self.site.on_ramp if row == self.site.on_row else None
        start = ramp.start if ramp is not None else 0.0
        number = self._next[run, entry] * len(self._rows) + entry
        trait = dict(zip(Fleet.TRAITS, self._traits[:, run, number], strict=True))
        there = (fleet.target[run] == row) | (fleet.lane[run] == row)
        s = np.where(there, fleet.s[run], FAR)
        last = s.argmin(axis=1)
        lead_v = np.where(there.any(axis=1), fleet.v[run, last], 40.0)
        gap = s.min(axis=1) - start - 0.5 * (fleet.length[run, last] + trait["length"])
        wish = np.minimum(trait["compliance"] * profile[int(start)], trait["top"])
        if ramp is not None:
            wish = np.minimum(wish, ramp.speed)
        room = np.maximum(gap - trait["standstill"], 0.0)
        speed = np.minimum(wish, np.minimum(room / trait["headway"], np.sqrt(lead_v * lead_v + 1.5 * room)))
        column = (fleet.lane[run, 1:-1] < 0).argmax(axis=1) + 1
        # Who enters is about as fast as traffic or wish allow; else an entry that crawls once would crawl for ever.
        ok = (fleet.lane[run, column] < 0) & (speed > np.minimum(0.9 * np.minimum(wish, lead_v), wish)) & (room > 2.0)
        r, c, n = run[ok], column[ok], number[ok]
        fleet.floats[:, r, c] = 0.0
        for name in Fleet.TRAITS:
            getattr(fleet, name)[r, c] = trait[name][ok]
        fleet.s[r, c], fleet.v[r, c] = start, speed[ok]
        fleet.progress[r, c] = fleet.share[r, c] = 1.0
        fleet.lane[r, c] = fleet.target[r, c] = row
        fleet.id[r, c] = n
        fleet.truck[r, c] = self._trucks[r, n]
        fleet.leaving[r, c] = self._leaving[r, n]
        self._next[r, entry] += 1


def draw_outflow(site: Site, rngs: Sequence[np.random.Generator], steps: int, step: float) -> Floats | None:
    """Speed (m/s) of the traffic behind the section, `[R, steps + 1]`: straight lines between random values; None where it is free."""
    if site.outflow is None:
        return None
    low, high = site.outflow
    knots = np.arange(0.0, steps * step + 2 * _OUTFLOW_SECONDS, _OUTFLOW_SECONDS)
    at = np.arange(steps + 1) * step
    return np.stack([np.interp(at, knots, low + (high - low) * rng.random(len(knots))) for rng in rngs])
