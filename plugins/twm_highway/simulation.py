"""The simulation: parallel runs of one site, advanced 0.1 s at a time, vectorised over runs and vehicles.

One step: sort, find neighbours, accelerate (IDM, end of lanes, co-operation where lanes merge), decide lane changes (MOBIL, left and
right in turn so that two vehicles never claim one gap from both sides), log, move, let vehicles leave and enter. Speed is integrated with
Euler steps and position with the mean of the old and the new speed. A lane change moves the vehicle along a minimum-jerk profile over
4.8 to 7.5 s; below `CRAWL` the lateral clock slows with the speed, so that nobody slides sideways at a standstill.

Every run has a random generator of its own: a run gives the same bits alone and among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twm_highway.arrivals import Arrivals, draw_outflow
from twm_highway.drivers import CHANGE_THRESHOLD, Drivers, free_acceleration, interaction, mobil_gain, mobil_safe
from twm_highway.fleet import FAR, MARKS, MOTION, Fleet
from twm_highway.geometry import BEYOND, build_curve, speed_limit
from twm_highway.neighbours import CLEAR, Neighbours
from twm_highway.sites import Site

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STEP = 0.1
"""Seconds of one simulation step."""

CRAWL = 8.0
"""Speed, m/s, below which lateral motion slows down with the speed."""

HARDEST = -8.0
"""Hardest braking, m/s²."""

_NOISE_SECONDS = 4.0  # correlation time of the acceleration noise
_SWAY_RATE = 0.35  # rad/s and m: how drivers sway within their lane (critically damped, driven by white noise)
_SWAY_DEVIATION = 0.1
_REST = 4.0  # s between two lane changes of one driver
_SIDE_ACCELERATION = 2.5  # m/s² that drivers accept in bends
_ANTICIPATION = 1.0  # m/s² with which they slow down ahead of a lower limit
_COOPERATION = -1.3  # m/s² with which they adapt to a gap or open one
_MANDATORY = 300.0  # m ahead of a lane's end or an exit where changing becomes mandatory
_SHORT_HEADWAY = 0.45  # share of the headway accepted in the most urgent change, and how much more in the least urgent
_HEADWAY_SLOPE = 0.25
_RELAXATION = 12.0  # s over which the full headway is restored


@dataclass(frozen=True)
class Log:
    """What happened: motion `[T, len(MOTION), R, W]`, marks `[T, len(MARKS), R, W]`, and the drawn vehicles of each run.

    A vehicle's `id` indexes the arrays of its run's `Drivers`. Columns with lane -1 are free. `waiting` is the number of vehicles that
    had not found room to enter at the end, by run.
    """

    site: Site
    motion: Floats
    marks: Ints
    drivers: tuple[Drivers, ...]
    waiting: Ints


class Simulation:
    """Parallel runs of one site.

    Args:
        site: Where.
        seeds: One seed sequence per run.
        seconds: Length of a run; decides how many vehicles are drawn.
        columns: Most vehicles at a time in a run; more wait at their entry.
    """

    def __init__(self, site: Site, seeds: Sequence[np.random.SeedSequence], *, seconds: float, columns: int = 64) -> None:
        self.site = site
        self.steps = round(seconds / STEP)
        self.time = 0
        # Copies, because spawning from a seed sequence changes it.
        roots = [np.random.default_rng(np.random.SeedSequence(s.entropy, spawn_key=s.spawn_key)) for s in seeds]
        arriving, outside, self._rngs = (list(streams) for streams in zip(*(root.spawn(3) for root in roots), strict=True))
        self.fleet = Fleet(len(seeds), columns)
        self.neighbours = Neighbours(self.fleet, site.rows)
        self.arrivals = Arrivals(site, arriving, seconds)
        self._outflow = draw_outflow(site, outside, self.steps, STEP)
        self._profile = self._speed_profile()
        self._rules()

    def _speed_profile(self) -> Floats:
        """The speed that limit and curves allow at every metre, lowered ahead of every drop as a driver who sees it would."""
        s = np.arange(self.site.length + BEYOND)
        curvature = np.abs(build_curve(self.site).at(s)[0])
        allowed = np.minimum(speed_limit(self.site, s), np.sqrt(_SIDE_ACCELERATION / np.maximum(curvature, 1e-6)))
        for i in range(len(s) - 2, -1, -1):
            allowed[i] = min(allowed[i], np.sqrt(allowed[i + 1] ** 2 + 2 * _ANTICIPATION))
        return allowed

    def _rules(self) -> None:
        """Tables by row: the row to the left and right (-1: none), between which metres one may change, where the lane ends."""
        site, rows = self.site, self.site.rows
        self._side = np.full((2, rows), -1)
        self._from = np.full((2, rows), 30.0)
        self._until = np.full((2, rows), FAR)
        for row in range(site.lanes):
            self._side[0, row] = row + 1 if row + 1 < site.lanes else -1
            self._side[1, row] = row - 1
        self._end = np.full(rows, FAR)
        if site.on_ramp is not None:
            self._side[0, site.on_row] = 0
            self._from[0, site.on_row] = site.on_ramp.parallel
            # Drivers stop with their front at `last`, and may begin to leave the lane wherever they have stopped.
            self._end[site.on_row] = site.on_ramp.last
        if site.off_ramp is not None:
            self._side[1, 0] = site.off_row
            self._from[1, 0], self._until[1, 0] = site.off_ramp.parallel, site.off_ramp.last
        if site.last_of_left is not None:
            self._end[site.lanes - 1] = site.last_of_left
            self._until[0, site.lanes - 2] = site.last_of_left - _MANDATORY
        self._truck_rows = max(1, site.lanes - 2) if site.lanes > 2 else 1
        self._has_ends = bool((self._end < FAR).any())

    def run(self, *, skip: float = 0.0) -> Log:
        """Advance to the end and return the log without its first `skip` seconds.

        The first logged step serves to take differences; what is recorded starts with the second.
        """
        skipped = round(skip / STEP)
        fleet, steps = self.fleet, self.steps - skipped
        motion = np.zeros((steps, len(MOTION), *fleet.s.shape))
        marks = np.zeros((steps, len(MARKS), *fleet.s.shape), dtype=np.int64)
        for t in range(self.steps):
            self.decide()
            if t >= skipped:
                motion[t - skipped] = fleet.floats[: len(MOTION)]
                marks[t - skipped] = fleet.ints[: len(MARKS)]
            self.move()
        return Log(self.site, motion, marks, self.arrivals.drivers, self.arrivals.waiting(self.time * STEP))

    def decide(self) -> None:
        """Everything the drivers decide now: acceleration until the next step, and the start of lane changes."""
        fleet = self.fleet
        fleet.sort()
        if self._outflow is not None:
            speed = self._outflow[:, min(self.time, self.steps)]
            fleet.s[:, -1] = self.site.length + 5.0 + 1.2 * speed
            fleet.v[:, -1] = speed
        self.neighbours.find()
        # Flat views: every vehicle is addressed by one number, `run * columns + column`.
        self._following = fleet.following
        self._s, self._v, self._length = fleet.s.ravel(), fleet.v.ravel(), fleet.length.ravel()
        self._lane, self._target = fleet.lane.ravel(), fleet.target.ravel()
        at = np.clip(self._s, 0, len(self._profile) - 1).astype(np.int64)
        desired = np.minimum(fleet.compliance.ravel() * self._profile[at], fleet.top.ravel())
        self._free = free_acceleration(self._v, desired, fleet.accel.ravel(), fleet.brake.ravel())
        everyone = slice(None)
        lead = self.neighbours.ahead(self._target, everyone)
        self._own = self._free - self._interaction(everyone, lead)
        changing = np.flatnonzero(self._lane != self._target)
        if len(changing):
            other = self.neighbours.ahead(self._lane[changing], changing)
            # Both lanes count while the vehicle stands in both.
            still = fleet.progress.ravel()[changing] < CLEAR
            also = np.where(still, self._free[changing] - self._interaction(changing, other), self._own[changing])
            self._own[changing] = np.minimum(self._own[changing], also)
        if self._has_ends:
            self._brake_for_lane_ends()
        a = self._own.copy()
        if self._has_ends or self.site.off_ramp is not None:
            self._cooperate(a)
        self._own = a.copy()
        a += (fleet.noise * fleet.disturbance).ravel() * np.minimum(self._v * 0.2, 1.0)
        # Nobody brakes beyond standing still, so that the logged acceleration is what happens.
        fleet.a[:] = np.clip(a, np.maximum(HARDEST, -self._v / STEP), 3.0).reshape(fleet.a.shape)
        if self.time % 2 == 0:
            self._change_lanes(side=(self.time // 2) % 2)

    def _gap(self, who: Ints | slice, lead: Ints) -> Floats:
        return self._s[lead] - self._s[who] - 0.5 * (self._length[lead] + self._length[who])

    def _interaction(self, who: Ints | slice, lead: Ints, most: Floats | None = None) -> Floats:
        """What `lead` costs `who`, m/s²; `most` is the largest share of their headways that they insist on."""
        v = self._v[who]
        share, headway, standstill, accel, brake = self._following[:, who]
        headway = headway * (share if most is None else np.minimum(share, most))
        return interaction(v, headway, standstill, accel, brake, self._gap(who, lead), v - self._v[lead])

    def _brake_for_lane_ends(self) -> None:
        """Treat the end of a lane as a standing obstacle, with no headway and firm braking, so that drivers use the lane."""
        who = np.flatnonzero((self._end[self._target] < FAR) & (self._target >= 0) & (self._target == self._lane))
        if len(who):
            accel = self.fleet.accel.ravel()[who]
            gap = self._end[self._target[who]] - self._s[who] - 0.5 * self._length[who]
            v, zero = self._v[who], np.zeros(len(who))
            cost = interaction(v, zero, zero + 1.0, accel, zero + 3.0, gap, v)
            self._own[who] = np.minimum(self._own[who], self._free[who] - cost)

    def _must(self, who: Ints, side: int) -> Floats:
        """Urgency 0 to 1 with which vehicles must change to `side`; below 0 where they need not."""
        site, row, s = self.site, self._target[who], self._s[who]
        urgency = np.full(len(who), -1.0)
        if side == 0 and site.on_ramp is not None:
            ramp = site.on_ramp
            done = (s - ramp.parallel) / (ramp.last - ramp.parallel)
            urgency = np.where((row == site.on_row) & (s > ramp.parallel - 40.0), np.clip(done, 0.0, 1.0), urgency)
        if side == 1 and site.last_of_left is not None:
            done = 1.0 - (site.last_of_left - s) / _MANDATORY
            urgency = np.where((row == site.lanes - 1) & (done > 0.0), np.minimum(done, 1.0), urgency)
        if side == 1 and site.off_ramp is not None:
            ramp = site.off_ramp
            start = np.where(row == 0, ramp.parallel, ramp.parallel - _MANDATORY)
            end = ramp.last - 60.0 * row
            due = (self.fleet.leaving.ravel()[who] == 1) & (row < site.lanes) & (s > start) & (s < ramp.last)
            urgency = np.where(due, np.clip((s - start) / (end - start), 0.0, 1.0), urgency)
        return urgency

    def _cooperate(self, a: Floats) -> None:
        """Who must change adapts gently to the gap aimed at, and the follower there opens it gently. Changes `a` in place."""
        fleet = self.fleet
        steady = np.flatnonzero((self._target >= 0) & (self._target == self._lane))
        for side in (0, 1):
            urgency = self._must(steady, side)
            who = steady[urgency >= 0.0]
            if not len(who):
                continue
            row = self._side[side, self._target[who]]
            lead, follower = self.neighbours.ahead(row, who), self.neighbours.behind(row, who)
            urgency = urgency[urgency >= 0.0]
            gentle = _COOPERATION * (0.4 + urgency)
            a[who] = np.minimum(a[who], np.maximum(self._free[who] - self._interaction(who, lead), gentle))
            # The phantom behind may be named many times; what is written to it is never read. Who is already beside drives on, or
            # both might stand there for ever.
            open_up = np.maximum(self._free[follower] - self._interaction(follower, who), gentle)
            kind = ((fleet.politeness.ravel()[follower] > 0.1) | (urgency > 0.5)) & (self._gap(follower, who) > 2.0)
            np.minimum.at(a, follower, np.where(kind, open_up, FAR))

    def _change_lanes(self, *, side: int) -> None:
        """MOBIL for one side, 0 left or 1 right."""
        fleet, site = self.fleet, self.site
        may = (self._lane == self._target) & (self._target >= 0) & (fleet.rest.ravel() <= 0.0)
        row = np.maximum(self._target, 0)
        may &= (self._side[side, row] >= 0) & (self._s >= self._from[side, row]) & (self._s <= self._until[side, row])
        who = np.flatnonzero(may)
        if not len(who):
            return
        row = self._target[who]
        new = self._side[side, row]
        urgency = self._must(who, side)
        must = urgency >= 0.0
        leaving = fleet.leaving.ravel()[who] == 1
        allowed = must | (new != site.off_row)
        if side == 0:
            allowed &= must | ~((fleet.truck.ravel()[who] == 1) & (new >= self._truck_rows))
            if site.off_ramp is not None:
                allowed &= ~(leaving & (self._s[who] > site.off_ramp.parallel - _MANDATORY))
        who, row, new, urgency, must = who[allowed], row[allowed], new[allowed], urgency[allowed], must[allowed]
        if not len(who):
            return
        lead, follower = self.neighbours.ahead(new, who), self.neighbours.behind(new, who)
        old_lead, old_follower = self.neighbours.ahead(row, who), self.neighbours.behind(row, who)
        # Who must change, and who lets them in, accept short headways for a while (relaxation).
        share = np.where(must, _SHORT_HEADWAY + _HEADWAY_SLOPE * (1.0 - urgency), 1.0)
        after = self._free[who] - self._interaction(who, lead, share)
        cost = self._interaction(follower, who, share)
        follower_after = self._free[follower] - cost
        new_loss = self._interaction(follower, lead) - cost
        old_gain = self._interaction(old_follower, who) - self._interaction(old_follower, old_lead)
        # Keep right: a little is gained by going right, and lost by going left.
        habit = -0.05 if side == 0 else 0.15
        own = after - self._own[who] + habit
        gain = mobil_gain(own, np.clip(new_loss, -9.0, 9.0), np.clip(old_gain, -9.0, 9.0), fleet.politeness.ravel()[who])
        limit = np.where(must, 1.8 + 1.4 * urgency, 1.6)
        # Standing traffic cannot brake: there a gap is enough. To steer out of a queue, a driver needs some room or some speed.
        after = np.where(self._v[who] < 1.0, 0.0, after)
        follower_after = np.where(self._v[follower] < 1.0, 0.0, follower_after)
        safe = mobil_safe(after, follower_after, self._gap(who, lead), self._gap(follower, who), limit)
        safe &= (self._v[who] > 3.0) | (self._gap(who, old_lead) > 6.0)
        chosen = safe & (must | (gain > CHANGE_THRESHOLD))
        go = who[chosen]
        if len(go):
            for closer in (go, follower[chosen]):
                np.minimum.at(fleet.share.ravel(), closer, share[chosen])
            fleet.target.ravel()[go] = self._side[side, self._target[go]]
            fleet.progress.ravel()[go] = 0.0
            fleet.rest.ravel()[go] = _REST

    def move(self) -> None:
        """Move every vehicle by one step; then vehicles leave and enter."""
        fleet = self.fleet
        new = np.maximum(fleet.v + fleet.a * STEP, 0.0)
        mean = 0.5 * (fleet.v + new)
        alive = fleet.alive
        fleet.s[:] = np.where(alive, fleet.s + mean * STEP, fleet.s)
        fleet.v[:] = np.where(alive, new, fleet.v)
        clock = np.minimum(mean / CRAWL, 1.0) * STEP
        fleet.progress += clock / fleet.duration
        done = fleet.progress >= 1.0
        fleet.progress[done] = 1.0
        fleet.lane[done] = fleet.target[done]
        fleet.rest -= np.where(done, STEP, 0.0)
        fleet.share += (1.0 - fleet.share) * (STEP / _RELAXATION)
        normals = self._normals()
        decay = STEP / _NOISE_SECONDS
        fleet.disturbance += (2.0 * decay) ** 0.5 * normals[0] - decay * fleet.disturbance
        force = 2.0 * _SWAY_RATE**1.5 * _SWAY_DEVIATION / STEP**0.5
        fleet.sway += clock * fleet.sway_rate
        fleet.sway_rate += clock * (force * normals[1] - 2.0 * _SWAY_RATE * fleet.sway_rate - _SWAY_RATE**2 * fleet.sway)
        self.time += 1
        gone = alive & (fleet.s > self.site.length)
        if gone.any():
            fleet.free(gone)
        self.arrivals.enter(fleet, self.time, self.time * STEP, self._profile)

    def _normals(self) -> Floats:
        """Standard normals `[2, R, W]`, drawn by each run for 50 steps at a time."""
        at = self.time % 50
        if at == 0:
            self._drawn = np.stack([rng.standard_normal((50, 2, self.fleet.columns)) for rng in self._rngs], axis=2)
        return self._drawn[at]
