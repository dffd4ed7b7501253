"""The doctor's checks of motion: jumps, impossible speeds and accelerations, recorded velocities and headings that disagree with positions.

Sightings are the rows at which an agent was seen, track by track, `S` of them. With `p` the position and `t` the time of a sighting, and
`v_i = (p_i - p_{i-1}) / (t_i - t_{i-1})`, sighting `i` is a jump where

    |v_i - v_{i-1}| (t_i - t_{i-1})  >  a (t_i - t_{i-2}) / 2 (t_i - t_{i-1}) + noise

with the type's largest acceleration `a`; at the second sighting of a track `|p_1 - p_0| > speed (t_1 - t_0) + noise`. Everything else is
measured over windows of about half a second that no jump falls into. Elapsed time is real: across a gap it is longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data import limits
from twm_core.data.doctor.findings import Example, Findings
from twm_core.data.recording import Recording
from twm_core.data.scenario import OCCLUDED

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sightings:
    """The rows of a recording at which agents were seen.

    Attributes:
        recording: The recording.
        source: Name of its source, for examples.
    """

    recording: Recording
    source: str

    @cached_property
    def row(self) -> NDArray[np.int64]:
        """`[S]`, rows of the recording."""
        return np.flatnonzero(self.recording.code != OCCLUDED)

    @cached_property
    def track(self) -> NDArray[np.int64]:
        """`[S]`, number of the track."""
        return np.repeat(np.arange(len(self.recording.length)), self.recording.length)[self.row]

    @cached_property
    def step(self) -> NDArray[np.int64]:
        """`[S]`, step of the recording."""
        return self.recording.first[self.track] + self.row - self.recording.offset[self.track]

    @cached_property
    def type(self) -> NDArray[np.int64]:
        """`[S]`, index of the type."""
        return self.recording.type[self.track]

    @cached_property
    def position(self) -> Floats:
        """`[S, 2]`."""
        return np.stack([self.recording.columns["x"][self.row], self.recording.columns["y"][self.row]], axis=1)

    @cached_property
    def seconds(self) -> Floats:
        """`[S]`, time of the sighting."""
        return self.step.astype(np.float64) * self.recording.dt

    @property
    def window(self) -> int:
        """Sightings in about half a second."""
        return max(1, round(limits.WINDOW / self.recording.dt))

    def column(self, name: str) -> Floats | None:
        """`[S]`, a column; None where the recording does not have it."""
        return self.recording.columns[name][self.row] if name in self.recording.columns else None

    def behind(self, count: int) -> Bools:
        """`[S]`, whether there is a sighting of the same track so many before."""
        there = np.zeros(len(self.row), dtype=bool)
        there[count:] = self.track[count:] == self.track[: len(self.track) - count]
        return there

    def back(self, values: Floats, count: int) -> Floats:
        """Difference to the sighting `count` before; meaningless where `behind(count)` is false."""
        difference = np.zeros_like(values)
        difference[count:] = values[count:] - values[: len(values) - count]
        return difference

    def velocity(self, count: int) -> Floats:
        """`[S, 2]`, mean velocity over the last `count` sightings; 0 where there are not so many."""
        there = self.behind(count)
        elapsed = np.where(there, self.back(self.seconds, count), 1.0)
        return np.where(there[:, None], self.back(self.position, count) / elapsed[:, None], 0.0)

    def example(self, at: int, text: str, severity: float) -> Example:
        """The sighting `at` as an example."""
        track, step = self.recording.track[int(self.track[at])], int(self.step[at])
        return Example(self.source, self.recording.id, text, float(severity), track=track, step=step)

    @cached_property
    def jumps(self) -> Bools:
        """`[S]`, where a step is impossible; a step right after a jump is compared with the jump, and counts as well here."""
        elapsed = np.where(self.behind(1), self.back(self.seconds, 1), 1.0)
        velocity = self.velocity(1)
        change = np.hypot(*self.back(velocity, 1).T) * elapsed
        between = np.where(self.behind(2), self.back(self.seconds, 2), 1.0) / 2
        off = change > limits.ACCELERATION[self.type] * between * elapsed + limits.NOISE[self.type]
        far = np.hypot(*self.back(self.position, 1).T) > limits.SPEED[self.type] * elapsed + limits.NOISE[self.type]
        return np.where(self.behind(2), off, self.behind(1) & far)

    def smooth(self, count: int) -> Bools:
        """`[S]`, where there are `count` sightings before, and none of the steps between is a jump."""
        jumped = np.cumsum(self.jumps)
        return self.behind(count) & (self.back(jumped.astype(np.float64), count) == 0)


def check_motion(sightings: Sightings, findings: Findings) -> None:
    """Add what is wrong with the motion in one recording."""
    if len(sightings.row) < 2:
        return
    _jumps(sightings, findings)
    speed = np.hypot(*sightings.velocity(sightings.window).T)
    _speeds(sightings, speed, findings)
    _accelerations(sightings, findings)
    _recorded_velocity(sightings, speed, findings)
    _headings(sightings, speed, findings)


def _rows(sightings: Sightings, findings: Findings, name: str, bad: Bools, severity: Floats, text: Callable[[int], str]) -> None:
    """Add rows, with the worst row of each of the worst tracks as examples."""
    at = np.flatnonzero(bad)
    worst = at[np.argsort(-severity[at], kind="stable")][:200]
    _, first = np.unique(sightings.track[worst], return_index=True)
    findings.add(name, len(at), [sightings.example(int(i), text(int(i)), severity[i]) for i in worst[np.sort(first)][:10]])


def _jumps(sightings: Sightings, findings: Findings) -> None:
    bad = sightings.jumps.copy()
    bad[1:] &= ~(sightings.jumps[:-1] & sightings.behind(1)[1:])  # the step after a jump stands out because of the jump
    far = np.hypot(*sightings.back(sightings.position, 1).T)
    elapsed = sightings.back(sightings.seconds, 1)
    _rows(sightings, findings, "jumps", bad, far / limits.NOISE[sightings.type], lambda i: f"{far[i]:.1f} m in {elapsed[i]:.2g} s")


def _speeds(sightings: Sightings, speed: Floats, findings: Findings) -> None:
    fastest = np.where(sightings.smooth(sightings.window), speed, 0.0)
    vx, vy = sightings.column("vx"), sightings.column("vy")
    if vx is not None and vy is not None:
        fastest = np.fmax(fastest, np.hypot(vx, vy))
    bad = fastest > limits.SPEED[sightings.type]
    _rows(sightings, findings, "impossible-speed", bad, fastest / limits.SPEED[sightings.type], lambda i: f"{fastest[i]:.1f} m/s")


def _accelerations(sightings: Sightings, findings: Findings) -> None:
    count = sightings.window
    change = np.hypot(*sightings.back(sightings.velocity(count), count).T)
    there = sightings.smooth(2 * count)
    elapsed = np.where(there, sightings.back(sightings.seconds, 2 * count) / 2, 1.0)
    hardest = np.where(there, change / elapsed, 0.0)
    ax, ay = sightings.column("ax"), sightings.column("ay")
    if ax is not None and ay is not None:
        hardest = np.fmax(hardest, np.hypot(ax, ay))
    bad = hardest > limits.ACCELERATION[sightings.type]
    _rows(sightings, findings, "impossible-acceleration", bad, hardest, lambda i: f"{hardest[i]:.1f} m/s^2")


def _recorded_velocity(sightings: Sightings, speed: Floats, findings: Findings) -> None:
    vx, vy = sightings.column("vx"), sightings.column("vy")
    if vx is None or vy is None:
        return
    count = sightings.window
    recorded = np.stack([vx, vy], axis=1)
    known: Bools = np.isfinite(vx) & np.isfinite(vy)
    filled = np.where(known[:, None], recorded, 0.0)
    elapsed = np.maximum(sightings.back(sightings.seconds, 1), 0.0)
    mean = np.zeros_like(filled)
    mean[1:] = (filled[1:] + filled[:-1]) / 2 * elapsed[1:, None]
    travelled = np.cumsum(np.where(sightings.behind(1)[:, None], mean, 0.0), axis=0)
    whole = sightings.smooth(count) & known & (sightings.back(np.cumsum(~known).astype(np.float64), count) == 0)
    whole[count:] &= known[: len(known) - count]
    over = np.where(whole, sightings.back(sightings.seconds, count), 1.0)
    expected = sightings.back(travelled, count) / over[:, None]
    off = np.where(whole, np.hypot(*(expected - sightings.velocity(count)).T), 0.0)
    bad = off > limits.VELOCITY_OFF + limits.VELOCITY_SHARE * speed
    moving = bad & (speed > limits.VELOCITY_OFF)
    ratio = np.median(np.hypot(*expected[moving].T) / speed[moving]) if moving.any() else np.nan
    note = "" if np.isnan(ratio) else f"; in the median {ratio:.2f} times as fast as the positions"

    def text(i: int) -> str:
        return f"recorded ({expected[i, 0]:.1f}, {expected[i, 1]:.1f}) m/s, positions say {_pair(sightings.velocity(count)[i])}{note}"

    _rows(sightings, findings, "velocity-disagrees", bad, off, text)


def _pair(velocity: Floats) -> str:
    return f"({velocity[0]:.1f}, {velocity[1]:.1f}) m/s"


def _headings(sightings: Sightings, speed: Floats, findings: Findings) -> None:
    heading = sightings.column("heading")
    if heading is None:
        return
    velocity = sightings.velocity(sightings.window)
    moves = sightings.smooth(sightings.window) & (speed >= limits.MOVING) & np.isfinite(heading) & limits.TURNS[sightings.type]
    if not moves.any():
        return
    direction = np.arctan2(velocity[:, 1], velocity[:, 0])
    tracks = len(sightings.recording.track)
    count = np.bincount(sightings.track[moves], minlength=tracks)
    off = np.abs(wrap(heading - direction))
    bad = np.bincount(sightings.track[moves & (off > limits.HEADING_OFF)], minlength=tracks)
    turned = _largest(
        np.abs(wrap(direction - _first_of(direction, sightings.track, moves, tracks)[sightings.track])), sightings.track, moves, tracks
    )
    varied = _largest(
        np.abs(wrap(heading - _first_of(heading, sightings.track, moves, tracks)[sightings.track])), sightings.track, moves, tracks
    )
    still = (count >= 3) & (varied < limits.HEADING_STILL) & (turned > limits.HEADING_TURN)
    where = _first_of(np.arange(len(off)).astype(np.float64), sightings.track, moves, tracks)
    told = [(int(where[i]), f"always {heading[int(where[i])]:.2f} rad", np.rad2deg(turned[i])) for i in _worst(still, turned)]
    findings.add(
        "heading-constant",
        int(still.sum()),
        [sightings.example(row, f"{text}, but turns by {by:.0f} degrees", by) for row, text, by in told],
    )
    aside = ~still & (count >= max(3, sightings.window)) & (bad > limits.HEADING_SHARE * count)
    middle = {i: float(np.median(off[moves & (sightings.track == i)])) for i in _worst(aside, bad.astype(np.float64))}
    findings.add(
        "heading-disagrees",
        int(aside.sum()),
        [
            sightings.example(
                int(where[i]), f"{np.rad2deg(m):.0f} degrees off in the median, at {bad[i]} of {count[i]} moving rows", bad[i]
            )
            for i, m in middle.items()
        ],
    )


def _worst(bad: Bools, severity: Floats) -> list[int]:
    at = np.flatnonzero(bad)
    return at[np.argsort(-severity[at], kind="stable")][:10].tolist()


def _first_of(values: Floats, track: NDArray[np.int64], chosen: Bools, tracks: int) -> Floats:
    """`[tracks]`, the value at the first chosen sighting of each track; NaN where there is none."""
    found = np.full(tracks, np.nan)
    at = np.flatnonzero(chosen)[::-1]
    found[track[at]] = values[at]  # the last assignment, the first sighting, stays
    return found


def _largest(values: Floats, track: NDArray[np.int64], chosen: Bools, tracks: int) -> Floats:
    """`[tracks]`, the largest of the values at chosen sightings; 0 where there is none."""
    found = np.zeros(tracks)
    np.maximum.at(found, track[chosen], values[chosen])
    return found
