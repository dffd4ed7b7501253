"""States of traffic lights, from the output of SUMO's `SaveTLSStates`.

A state is a word with one letter per controlled connection: r and u (red with yellow) are red, y and Y yellow, g, G and s green, o is
flashing yellow and O off. A lane that several signals govern (straight on and to the right, say) shows the most permissive of them.

Format: sumo.dlr.de, Simulation/Traffic_Lights and Simulation/Output/Traffic_Lights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twm_core.data.scenario import LIGHT_STATES, Lights
from twm_core.errors import DataError
from twm_sumo.network import Network, Signal
from twm_sumo.xml_stream import seconds, tags, text

_COLOURS = {"r": "red", "u": "red", "y": "yellow", "Y": "yellow", "g": "green", "G": "green", "s": "green", "o": "yellow", "O": "off"}
_STATE = {letter: LIGHT_STATES.index(colour) for letter, colour in _COLOURS.items()}
_PERMISSIVE = [LIGHT_STATES.index(s) for s in ("unknown", "red", "yellow", "off", "green")]


@dataclass(frozen=True)
class LightPhases:
    """When which light showed what: times `[P]` in seconds, ascending, and words, per light."""

    times: Mapping[str, NDArray[np.float64]]
    words: Mapping[str, tuple[str, ...]]


def read_phases(path: Path) -> LightPhases:
    """Read an output of `SaveTLSStates`; only changes are kept, so it stays small.

    Raises:
        DataError: The file is malformed, times go back, or a letter is unknown (the line is named).
    """
    times: dict[str, list[float]] = {}
    words: dict[str, list[str]] = {}
    for name, attributes, line in tags(path):
        if name != "tlsState":
            continue
        where = f"{path.name}, line {line}"
        light, word = text(attributes, "id", where), text(attributes, "state", where)
        time = seconds(text(attributes, "time", where), where)
        if unknown := sorted(set(word) - set(_STATE)):
            raise DataError(f"{where}: {unknown[0]!r} is not the letter of a signal", f"letters are {', '.join(_STATE)}")
        if times.get(light) and time < times[light][-1]:
            raise DataError(f"{where}: time {time:g} comes after {times[light][-1]:g}", "put the states in order")
        if words.get(light, [""])[-1] != word:
            times.setdefault(light, []).append(time)
            words.setdefault(light, []).append(word)
    return LightPhases({n: np.asarray(t) for n, t in times.items()}, {n: tuple(w) for n, w in words.items()})


def controlled_lanes(network: Network) -> tuple[str, ...]:
    """The lanes that signals govern, in the order of the network."""
    governed = {signal.lane for signal in network.signals}
    return tuple(lane.id for lane in network.road.lanes if lane.id in governed)


def lane_states(signals: Sequence[Signal], lanes: Sequence[str], words: Mapping[str, str]) -> NDArray[np.uint8]:
    """What each lane shows, uint8 `[L]`, index into `LIGHT_STATES`; `words` holds the state of each light by name."""
    shown: dict[str, int] = {}
    for signal in signals:
        word = words.get(signal.light, "")
        state = _STATE[word[signal.index]] if signal.index < len(word) else 0
        shown[signal.lane] = max(state, shown.get(signal.lane, 0), key=_PERMISSIVE.index)
    return np.asarray([shown.get(lane, 0) for lane in lanes], dtype=np.uint8)


def stop_points(network: Network, lanes: Sequence[str]) -> NDArray[np.float64]:
    """Ends of the lanes, `[L, 2]`."""
    ends = {lane.id: lane.centre[-1] for lane in network.road.lanes}
    return np.asarray([ends[lane] for lane in lanes], dtype=np.float64).reshape(-1, 2)


def make_lights(network: Network, phases: LightPhases, times: NDArray[np.float64]) -> Lights | None:
    """The states at `times` `[T]` (ascending); unknown before a light's first one. None where the network has no signals."""
    lanes = controlled_lanes(network)
    if not lanes:
        return None
    state = np.zeros((len(lanes), len(times)), dtype=np.uint8)
    # Times are compared with a tolerance of half a millisecond, SUMO's smallest step.
    place = {light: np.searchsorted(at, times + 5e-4, side="right") - 1 for light, at in phases.times.items()}
    if place:
        combined = np.stack(list(place.values()))
        changes = np.flatnonzero(np.concatenate([[True], (np.diff(combined, axis=1) != 0).any(axis=0)])) if len(times) else []
        for begin, end in zip(changes, [*changes[1:], len(times)], strict=True):
            words = {light: phases.words[light][int(at[begin])] for light, at in place.items() if at[begin] >= 0}
            state[:, begin:end] = lane_states(network.signals, lanes, words)[:, None]
    return Lights(lane=lanes, state=state, stop=stop_points(network, lanes))
