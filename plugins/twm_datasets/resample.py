"""The same scenario at another time step.

Where the new step is a whole number of old ones, the rows in between are left out. Otherwise positions, headings (the short way round) and
velocities are interpolated linearly between the two rows around each new step, and such rows have the code `interpolated`; everything
else, lanes and leaders included, is held from the row before. What was a backward difference is one again, over the new step.

An interpolated row knows the next recorded one, up to one old step ahead. Steps that coincide with an old one know nothing later: they are
the `anchors`, after which a prediction may start, and windows end their context at no other step. So what a model sees of the observed part
of a window never depends on what comes after it. Anchors of the original are obeyed too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from twm_core.angles import wrap
from twm_core.data.motion import backward_difference
from twm_core.data.scenario import INTERPOLATED, OCCLUDED, Lights, Scenario
from twm_core.data.schema import TRAFFIC_FEATURES
from twm_core.errors import DataError

_TOLERANCE = 1e-6
_LINEAR = ("x", "y", "vx", "vy", "ax", "ay", "yaw_rate")
_RATES = {"vx": "x", "vy": "y", "ax": "vx", "ay": "vy", "yaw_rate": "heading"}
_SECOND = ("ax", "ay")

Ints = NDArray[np.int64]


def resample(scenario: Scenario, dt: float) -> Scenario:
    """The scenario with steps of `dt` seconds; itself where it has them already. Actions are left out: they led to the next old step.

    Raises:
        DataError: `dt` is not positive, or no track has a row at one of the new steps.
    """
    if not dt > 0:
        raise DataError(f"scenario {scenario.id}: cannot have steps of {dt:g} s", "give a positive dt")
    ratio = dt / scenario.dt
    if abs(ratio - 1) < _TOLERANCE:
        return scenario
    whole = abs(ratio - round(ratio)) < _TOLERANCE * max(1.0, ratio) and round(ratio) >= 1
    ratio = float(round(ratio)) if whole else ratio
    # Where each new step lies on the old ones.
    at = np.arange(int(np.floor((scenario.steps - 1) / ratio + _TOLERANCE)) + 1) * ratio
    nearest = np.round(at).astype(np.int64)
    exact = np.abs(at - nearest) < _TOLERANCE * np.maximum(1.0, at)
    low = np.where(exact, nearest, np.floor(at)).astype(np.int64)
    part = np.where(exact, 0.0, at - low)
    first = np.searchsorted(at + _TOLERANCE * np.maximum(1.0, at), scenario.first)
    end = np.searchsorted(at - _TOLERANCE * np.maximum(1.0, at), scenario.first + scenario.length - 1, side="right")
    kept = np.flatnonzero(end > first)
    if not len(kept):
        raise DataError(f"scenario {scenario.id}: no track has a row at one of its steps of {dt:g} s", "use a smaller dt, or leave it out")
    first, length = first[kept], (end - first)[kept]
    starts = np.cumsum(length) - length
    owner = np.repeat(np.arange(len(kept)), length)
    step = np.arange(int(length.sum())) - starts[owner] + first[owner]
    row = scenario.offset[kept][owner] + low[step] - scenario.first[kept][owner]
    share = part[step]
    following = np.where(share > 0, row + 1, row)
    code = scenario.code[row].copy()
    between = share > 0
    seen = (scenario.code[row] != OCCLUDED) & (scenario.code[following] != OCCLUDED)
    code[between] = np.where(seen[between], INTERPOLATED, OCCLUDED)
    state = _states(scenario, row, following, share)
    texts = dict(scenario.provenance)
    seen_rows = np.flatnonzero(code != OCCLUDED)
    # The first row of each track at which the agent is seen has nothing before it.
    begins = np.concatenate([[True], np.diff(owner[seen_rows]) != 0]) if len(seen_rows) else np.zeros(0, dtype=bool)
    _rates(scenario, state, seen_rows, begins, step[seen_rows], dt, texts)
    state[code == OCCLUDED] = 0
    how = f"1 step of {round(ratio)}" if whole else f"interpolated to steps of {dt:g} s from {scenario.dt:g} s"
    anchors = exact if scenario.anchors is None else exact & scenario.anchors[low]
    return replace(
        scenario,
        dt=dt,
        steps=len(at),
        state=state.astype(np.float32),
        code=code,
        lane=None if scenario.lane is None else np.where(code != OCCLUDED, scenario.lane[row], 0),
        action=None,
        first=first.astype(np.int64),
        length=length.astype(np.int64),
        track=tuple(scenario.track[i] for i in kept.tolist()),
        type=scenario.type[kept],
        eligible=None if scenario.eligible is None else scenario.eligible[kept],
        lights=None if scenario.lights is None else Lights(scenario.lights.lane, scenario.lights.state[:, low], scenario.lights.stop),
        anchors=None if anchors.all() else anchors,
        provenance={name: f"{texts.get(name, 'recorded')}; {how}" for name in scenario.features},
        ego=None if scenario.ego is None or scenario.ego not in kept else int(np.searchsorted(kept, scenario.ego)),
        check_values=True,
    )


def kept_tracks(scenario: Scenario, resampled: Scenario) -> Ints:
    """Number in `resampled` of each track of the scenario it came from, -1 for those that fell between its steps, `[N]`."""
    number = {name: i for i, name in enumerate(resampled.track)}
    return np.asarray([number.get(name, -1) for name in scenario.track], dtype=np.int64)


def _states(scenario: Scenario, row: Ints, following: Ints, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The old rows `[R, F]`, with what changes smoothly interpolated towards the following row."""
    state = scenario.state[row].astype(np.float64)
    between = np.flatnonzero(share > 0)
    if not len(between):
        return state
    later = scenario.state[following[between]].astype(np.float64)
    for i, name in enumerate(scenario.features):
        feature = TRAFFIC_FEATURES.get(name)
        change = later[:, i] - state[between, i]
        if feature is not None and feature.kind == "angle" and feature.frame == "world":
            state[between, i] = wrap(state[between, i] + share[between] * wrap(change))
        elif name in _LINEAR:
            state[between, i] += share[between] * change
    return state


def _rates(
    scenario: Scenario,
    state: NDArray[np.float64],
    rows: Ints,
    begins: NDArray[np.bool_],
    step: Ints,
    dt: float,
    texts: dict[str, str],
) -> None:
    """Difference again, in place, what the provenance calls differences; `rows` are those at which agents are seen, at `step`."""
    if not len(rows):
        return
    elapsed = np.where(begins, 1.0, np.diff(step, prepend=step[:1])) * dt
    names = scenario.features
    second = np.concatenate([[False], begins[:-1]])
    differenced = set[str]()
    for rate, source in _RATES.items():
        text = texts.get(rate, "")
        if rate not in names or source not in names or "difference" not in text:
            continue
        differenced.add(rate)
        # The difference of a difference is first known one row later.
        unknown = begins | second if rate in _SECOND and source in differenced else begins
        values = backward_difference(state[rows, names.index(source)], unknown, elapsed, angle=source == "heading")
        state[rows, names.index(rate)] = values
    if "fresh" in names:
        state[rows, names.index("fresh")] = begins
