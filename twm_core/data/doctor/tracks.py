"""The doctor's checks of rows and tracks: missing steps, short tracks, sizes, lanes, agents in one place, and what readers count."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twm_core.data import limits
from twm_core.data.doctor.findings import Example, Findings
from twm_core.data.doctor.motion import Sightings
from twm_core.data.scenario import OCCLUDED

REPEATED = "rows that repeat another"
CONTRADICTING = "rows that contradict an earlier one of their track and step"
"""Reasons under which `twm_core.data.importing.tracks` counts rows."""

_NEIGHBOURS = 64
"""Rows of one step that are compared with each: more than so many agents within half a metre are counted as so many."""


def check_skipped(source: str, recording: str, skipped: Mapping[str, int], findings: Findings) -> None:
    """Add what the reader counted as left out."""
    for reason, count in skipped.items():
        name = {REPEATED: "repeated-rows", CONTRADICTING: "contradicting-rows"}.get(reason, "left-out")
        findings.add(name, count, [Example(source, recording, f"{count} {reason}", float(count))])


def check_tracks(sightings: Sightings, findings: Findings, *, shortest: int) -> None:
    """Add what is wrong with the tracks of one recording."""
    if not len(sightings.recording.track):
        return
    _missing_steps(sightings, findings)
    _short(sightings, findings, shortest)
    _sizes(sightings, findings)
    _lanes(sightings, findings)
    _on_top(sightings, findings)


def _missing_steps(sightings: Sightings, findings: Findings) -> None:
    recording = sightings.recording
    somebody = np.zeros(recording.steps, dtype=bool)
    somebody[sightings.step] = True
    missing = np.flatnonzero(recording.code == OCCLUDED)
    track = np.searchsorted(recording.offset, missing, side="right") - 1
    step = recording.first[track] + missing - recording.offset[track]
    holes = np.unique(step[~somebody[step]])
    if len(holes):
        apart = np.gcd.reduce(np.diff(np.flatnonzero(somebody))) if somebody.sum() > 1 else 1
        text = f"rows stand at every {apart}th step only" if apart > 1 else f"{len(holes)} of {recording.steps} steps"
        example = Example(sightings.source, recording.id, text, float(len(holes)), step=int(holes[0]))
        findings.add("irregular-steps", len(holes), [example])
    alone = somebody[step]  # others are seen at that step
    missing, track, step = missing[alone], track[alone], step[alone]
    if not len(missing):
        return
    begins = np.ones(len(missing), dtype=bool)
    begins[1:] = (np.diff(missing) != 1) | (np.diff(track) != 0)
    begin = np.flatnonzero(begins)
    size = np.diff(np.append(begin, len(missing)))
    worst = np.argsort(-size, kind="stable")[:10]
    findings.add(
        "gaps",
        len(begin),
        [
            Example(
                sightings.source,
                recording.id,
                f"{size[i]} steps, {size[i] * recording.dt:.2g} s",
                float(size[i]),
                track=recording.track[int(track[begin[i]])],
                step=int(step[begin[i]]),
            )
            for i in worst
        ],
    )


def _short(sightings: Sightings, findings: Findings, shortest: int) -> None:
    recording = sightings.recording
    inside = (recording.first > 0) & (recording.first + recording.length < recording.steps)
    bad = np.flatnonzero(inside & (recording.length < shortest))
    worst = bad[np.argsort(recording.length[bad], kind="stable")][:10]
    findings.add("short-tracks", len(bad), [_track(sightings, int(i), f"{recording.length[i]} steps", -recording.length[i]) for i in worst])


def _track(sightings: Sightings, i: int, text: str, severity: float) -> Example:
    step = int(sightings.recording.first[i])
    return Example(sightings.source, sightings.recording.id, text, float(severity), track=sightings.recording.track[i], step=step)


def _sizes(sightings: Sightings, findings: Findings) -> None:
    least, most = limits.SIZE
    wrong: dict[int, tuple[int, str, float]] = {}
    for name in ("length", "width"):
        values = sightings.column(name)
        if values is None:
            continue
        with np.errstate(invalid="ignore"):  # NaN is a size that is not known
            at = np.flatnonzero((values <= least) | (values > most))
        tracks, first = np.unique(sightings.track[at], return_index=True)
        for i, row in zip(tracks.tolist(), at[first].tolist(), strict=True):
            wrong.setdefault(i, (row, f"{name} {values[row]:.3g} m", abs(values[row] - most / 2)))
    worst = sorted(wrong.values(), key=lambda w: -w[2])[:10]
    findings.add("sizes", len(wrong), [sightings.example(*w) for w in worst])


def _lanes(sightings: Sightings, findings: Findings) -> None:
    if sightings.recording.lane is None:
        return
    motor = limits.MOTOR[sightings.type]
    unknown = motor & (sightings.recording.lane[sightings.row] == 0)
    if unknown.sum() <= limits.LANE_SHARE * motor.sum():
        return
    count = np.bincount(sightings.track[unknown], minlength=len(sightings.recording.track))
    worst = np.argsort(-count, kind="stable")[:5]
    share = f"{100 * unknown.sum() / motor.sum():.0f} % of the recording"
    findings.add(
        "lanes-unknown", int(unknown.sum()), [_track(sightings, int(i), f"{count[i]} rows; {share}", count[i]) for i in worst if count[i]]
    )


def _on_top(sightings: Sightings, findings: Findings) -> None:
    if len(sightings.row) < 2:
        return
    axis = int(np.argmax(np.ptp(sightings.position, axis=0)))
    order = np.lexsort((sightings.position[:, axis], sightings.step))
    step, place = sightings.step[order], sightings.position[order]
    pairs: list[NDArray[np.int64]] = []
    for apart in range(1, min(_NEIGHBOURS, len(order))):
        near = (step[apart:] == step[:-apart]) & (place[apart:, axis] - place[:-apart, axis] < limits.TOUCHING_MOTOR)
        at = np.flatnonzero(near)
        if not len(at):
            break
        a, b = order[at], order[at + apart]
        both = limits.MOTOR[sightings.type[a]] & limits.MOTOR[sightings.type[b]]
        close = np.hypot(*(sightings.position[a] - sightings.position[b]).T) < np.where(both, limits.TOUCHING_MOTOR, limits.TOUCHING)
        pairs.append(np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[close])
    found = np.concatenate(pairs) if pairs else np.zeros((0, 2), dtype=np.int64)
    if not len(found):
        return
    tracks, first, count = np.unique(sightings.track[found], axis=0, return_index=True, return_counts=True)
    worst = np.argsort(-count, kind="stable")[:10]
    findings.add(
        "on-top",
        len(tracks),
        [
            sightings.example(
                int(found[first[i], 0]), f"with track {sightings.recording.track[int(tracks[i, 1])]} at {count[i]} steps", float(count[i])
            )
            for i in worst
        ],
    )
