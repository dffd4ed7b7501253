"""From the log of a simulation to scenarios: world coordinates, lanes, derivatives and actions of every track.

A vehicle on its way from the centre line `c0` to `c1` (over `T` seconds at full speed, progress `p`, profile `q`, see `geometry`) has

    d  = (1 - q(p)) c0(s) + q(p) c1(s) + bias + sway
    m  = dd/ds = (1 - q) c0' + q c1' + [(c1 - c0) q'(p) / T + sway rate] / max(v, CRAWL)

from which position, velocity and heading follow exactly. Acceleration and yaw rate are backward differences over one simulation step
(0.1 s), hence causal. A track begins one simulation step after its vehicle has entered, so the differences are always known.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data.scenario import OBSERVED, Scenario
from twm_core.specs import AGENT_TYPES
from twm_highway.drivers import Drivers
from twm_highway.fleet import MARKS, MOTION
from twm_highway.geometry import (
    Curve,
    Floats,
    Ints,
    build_curve,
    lane_centre,
    lane_direction,
    lane_extent,
    lanes_beside,
    road_map,
    smooth_step,
    speed_limit,
)
from twm_highway.simulation import CRAWL, STEP, Log
from twm_highway.sites import Site

HORIZON = 100.0
"""Distances to the end of a lane are cut off here, m."""


def scenarios(log: Log, *, dt: float, features: tuple[str, ...], ids: tuple[str, ...], site_token: int, actions: bool) -> list[Scenario]:
    """One scenario per run of a log.

    Args:
        log: What the simulation returned.
        dt: Seconds between recorded steps, a whole number of simulation steps.
        features: Columns of the state.
        ids: Identifier of each run.
        site_token: Token of the site, 0 unknown.
        actions: Whether to record what the drivers do.
    """
    every = round(dt / STEP)
    curve = build_curve(log.site)
    road = road_map(log.site, curve)
    made = []
    for run, name in enumerate(ids):
        rows = _Rows(log, run, curve)
        keep, first, length, numbers = rows.tracks(every)
        columns = rows.columns(keep)
        drivers = log.drivers[run]
        made.append(
            Scenario(
                id=name,
                site=log.site.name,
                dt=dt,
                steps=-(-(len(log.motion) - 1) // every),
                features=features,
                state=np.stack([columns[f] for f in features], axis=1).astype(np.float32),
                code=np.full(len(keep), OBSERVED, dtype=np.uint8),
                lane=rows.token[keep],
                first=first,
                length=length,
                track=tuple(f"{'truck' if drivers.truck[n] else 'car'}-{n}" for n in numbers),
                type=np.where(drivers.truck[numbers], AGENT_TYPES.index("truck"), AGENT_TYPES.index("car")).astype(np.int64),
                action=rows.actions(keep, every) if actions else None,
                road=road,
                site_token=site_token,
            )
        )
    return made


class _Rows:
    """All (vehicle, simulation step) pairs of one run, sorted by vehicle, then time; every array is `[N]`."""

    def __init__(self, log: Log, run: int, curve: Curve) -> None:
        marks, motion = log.marks[:, :, run], log.motion[:, :, run]
        time, column = np.nonzero(marks[:, MARKS.index("lane")] >= 0)
        number = marks[time, MARKS.index("id"), column]
        order = np.lexsort((time, number))
        self.time, self.number, column = time[order], number[order], column[order]
        self.site, self.curve = log.site, curve
        marks, motion = marks[self.time, :, column], motion[self.time, :, column]
        self.lane, self.target, _ = (np.ascontiguousarray(marks[:, i]) for i in range(len(MARKS)))
        self.s, self.v, self.a, progress, sway, sway_rate = (np.ascontiguousarray(motion[:, i]) for i in range(len(MOTION)))
        self.drivers = Drivers(**{f.name: getattr(log.drivers[run], f.name)[self.number] for f in fields(Drivers)})
        self.begins = np.concatenate([[True], self.number[1:] != self.number[:-1]])[: len(self.number)]
        q, rate = smooth_step(progress)
        c0, slope0 = lane_centre(self.site, self.lane, self.s)
        c1, slope1 = lane_centre(self.site, self.target, self.s)
        self.d = (1 - q) * c0 + q * c1 + self.drivers.bias + sway
        side = (c1 - c0) * rate / self.drivers.duration + sway_rate
        self.slope = (1 - q) * slope0 + q * slope1 + side / np.maximum(self.v, CRAWL)
        self.row = np.where(q > 0.5, self.target, self.lane)
        self.token = np.array([self.site.token(r) for r in range(self.site.rows)], dtype=np.int64)[self.row]
        self.intent = np.sign(_order(self.site, self.target) - _order(self.site, self.lane))

    def tracks(self, every: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Rows to record; first step, length and vehicle number of each track."""
        # The log's first step is there for the differences only.
        keep = np.flatnonzero(((self.time - 1) % every == 0) & ~self.begins)
        numbers, start, length = np.unique(self.number[keep], return_index=True, return_counts=True)
        return keep, ((self.time[keep[start]] - 1) // every).astype(np.int64), length.astype(np.int64), numbers

    def columns(self, keep: Ints) -> dict[str, NDArray[np.generic]]:
        """Every feature at the rows `keep`."""
        site, curve = self.site, self.curve
        curvature, along, x0, y0 = curve.at(self.s)
        forward, sideways = self.v * (1 - curvature * self.d), self.v * self.slope
        cos, sin = np.cos(along), np.sin(along)
        x, y = x0 - self.d * sin, y0 + self.d * cos
        vx, vy = forward * cos - sideways * sin, forward * sin + sideways * cos
        heading = along + np.arctan2(self.slope, 1 - curvature * self.d)

        def backward(values: Floats) -> Floats:
            return (values[keep] - values[keep - 1]) / STEP

        row, s = self.row[keep], self.s[keep]
        centre, centre_slope = lane_centre(site, row, s)
        stretch = 1 - curvature[keep] * centre
        direction = lane_direction(site, curve, row, s)
        ends = np.array([lane_extent(site, r)[1] for r in range(site.rows)])
        # Where a lane reaches the end of the section, the road goes on behind it.
        ends[ends >= site.length] = np.inf
        left, right = lanes_beside(site, row, s)
        return {
            "x": x[keep],
            "y": y[keep],
            "heading": wrap(heading[keep]),
            "vx": vx[keep],
            "vy": vy[keep],
            "ax": backward(vx),
            "ay": backward(vy),
            "yaw_rate": backward(heading),
            "length": self.drivers.length[keep],
            "width": self.drivers.width[keep],
            "lane_offset": (self.d[keep] - centre) * np.cos(np.arctan2(centre_slope, stretch)),
            "lane_angle": wrap(heading[keep] - direction),
            "lane_turn_20": lane_direction(site, curve, row, s + 20.0 / stretch) - direction,
            "lane_turn_50": lane_direction(site, curve, row, s + 50.0 / stretch) - direction,
            "lane_end": np.clip(ends[row] - s, 0.0, HORIZON),
            "speed_limit": speed_limit(site, s),
            "lane_known": np.ones(len(keep)),
            "lane_left": left,
            "lane_right": right,
        }

    def actions(self, keep: Ints, every: int) -> NDArray[np.float32]:
        """`[R, 4]`: mean acceleration until the next recorded step (m/s²), then the lane intent, one-hot: right, keep, left."""
        total = np.zeros(len(keep))
        count = np.zeros(len(keep))
        for ahead in range(every):
            # A vehicle that leaves before the next recorded step has fewer simulation steps to average.
            at = np.minimum(keep + ahead, len(self.a) - 1)
            same = self.number[at] == self.number[keep]
            same &= self.time[at] == self.time[keep] + ahead
            total += np.where(same, self.a[at], 0.0)
            count += same
        intent = np.eye(3)[self.intent[keep] + 1]
        return np.concatenate([(total / count)[:, None], intent], axis=1).astype(np.float32)


def _order(site: Site, row: Ints) -> Ints:
    """Rows from right to left: both ramps count as one to the right of the main lanes."""
    return np.where(row < site.lanes, row, -1)
