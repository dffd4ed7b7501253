"""The features of the agents in front and behind: whom the files name, else who is nearest along the lanes or in a corridor.

    time headway       (distance + (leader's length - own length) / 2) / own speed        from front to front
    time to collision  (distance - (leader's length + own length) / 2) / (own speed - leader's speed)

Distances are those along the lanes where these lead to the same agent, else along the own heading; speeds are along each agent's own
heading. Who is named but not seen at that step is looked for like one who is not named. See `leaders` and `road_graph` for the searches.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twm_core.data.features.lanes import OnLanes
from twm_core.data.features.leaders import Neighbours, in_corridor, relative
from twm_core.data.features.road_graph import RoadGraph, along_lanes
from twm_core.data.motion import Floats
from twm_core.data.recording import UNKNOWN, Recording
from twm_core.data.scenario import RoadMap
from twm_core.data.schema import LONGEST_COLLISION, LONGEST_HEADWAY

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def add_neighbours(
    recording: Recording,
    observed_rows: Ints,
    step: Ints,
    on: OnLanes | None,
    road: RoadMap | None,
    values: dict[str, Floats],
    texts: dict[str, str],
) -> None:
    """Add the features `LEADER_FEATURES` of every row to `values`, and how they came about to `texts`.

    Args:
        recording: The recording; its recorded neighbours come first.
        observed_rows: Its rows at which an agent is seen, `[R]`.
        step: Their steps.
        on: Where they are on the lanes of `road`; None without lanes.
        road: The map in the local frame, or None.
        values: The other features by name, `[R]` each.
        texts: Provenance by name.
    """
    xy = np.stack([values["x"], values["y"]], axis=1)
    heading = values["heading"]
    velocity = np.stack([values["vx"], values["vy"]], axis=1)
    decided = np.zeros(len(observed_rows), dtype=bool)
    found = None
    if on is not None and road is not None:
        found, decided = along_lanes(step, on, RoadGraph(road.lanes))
    named = {side: _recorded(recording, getattr(recording, side), observed_rows, step) for side in ("leader", "follower")}
    open_ends = np.zeros(len(observed_rows), dtype=bool)
    for rows in named.values():
        open_ends |= rows == UNKNOWN
    corridor = in_corridor(step, xy, heading, open_ends & ~decided)
    near = corridor if found is None else Neighbours(*(np.where(decided, a, b) for a, b in zip(found, corridor, strict=True)))
    way = "by place: along the lanes" + " or within a corridor where no lane is known" if on is not None else "by place: within a corridor"
    rows = {}
    for side, sign, computed, distance in (("leader", 1.0, near.leader, near.ahead), ("follower", -1.0, near.follower, near.behind)):
        said = named[side] != UNKNOWN
        other = np.where(said, named[side], computed)
        shown = relative(other, xy, heading, velocity)
        rows[side] = (other, np.where(other == computed, distance, np.abs(shown.ahead)))
        values[f"{side}_gap"], values[f"{side}_speed"] = sign * shown.ahead, shown.ahead_speed
        values[f"{side}_offset"], values[f"{side}_drift"] = shown.left, shown.left_speed
        values[f"{side}_known"] = (other >= 0).astype(np.float64)
        text = "recorded neighbour" if said.all() else way if not said.any() else f"recorded neighbour; where not known, {way}"
        texts |= {f"{side}_{what}": text for what in ("gap", "speed", "offset", "drift", "known")}
    values["time_headway"], values["time_to_collision"] = _times(*rows["leader"], values)
    for name in ("time_headway", "time_to_collision"):
        texts[name] = f"from the leader ({texts['leader_gap']}), lengths and speeds"


def _recorded(recording: Recording, neighbour: Ints | None, observed_rows: Ints, step: Ints) -> Ints:
    """The row (among those seen) of each row's recorded neighbour, -1 for none, `UNKNOWN` where it is not said or not seen."""
    found = np.full(len(observed_rows), UNKNOWN, dtype=np.int64)
    if neighbour is None or not len(observed_rows):
        return found
    number = neighbour[observed_rows]
    found[number == -1] = -1
    at = np.maximum(number, 0)
    inside = (number >= 0) & (step >= recording.first[at]) & (step < recording.first[at] + recording.length[at])
    place = np.full(len(recording.code), UNKNOWN, dtype=np.int64)
    place[observed_rows] = np.arange(len(observed_rows))
    row = np.where(inside, recording.offset[at] + step - recording.first[at], 0)
    return np.where(inside, place[row], found)


def _times(leader: Ints, distance: Floats, values: Mapping[str, Floats]) -> tuple[Floats, Floats]:
    """Time headway and time to collision; see their descriptions in the schema."""
    known = leader >= 0
    heading, length = values["heading"], values["length"]
    along = values["vx"] * np.cos(heading) + values["vy"] * np.sin(heading)
    front_to_front = distance + np.where(known, length[leader] - length, 0.0) / 2
    between = np.maximum(distance - np.where(known, length[leader] + length, 0.0) / 2, 0.0)
    closing = np.where(known, along - along[leader], 0.0)
    headway = _ratio(np.maximum(front_to_front, 0.0), along, known)
    return np.minimum(headway, LONGEST_HEADWAY), np.minimum(_ratio(between, closing, known), LONGEST_COLLISION)


def _ratio(distance: Floats, speed: Floats, known: Flags) -> Floats:
    moving = known & (speed > 1e-3)
    return np.where(moving, distance / np.where(moving, speed, 1.0), np.inf)
