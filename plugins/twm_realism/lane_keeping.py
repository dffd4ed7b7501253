"""Predicted motion led along lanes: how far one goes is as predicted, where one goes is given by the lane.

    s_t = s_0 + sum of |p_i - p_(i-1)|        o_t = o_0 exp(-s / RETURN), outside of which nobody is led
    p_t = centre line at s_t + o_t to the left of it

with `s_0` and `o_0` the place along and beside the lane at the last known step. The lane goes on through its straightest successor
(`twm_core.data.features.lanes`); beyond the end of the map it goes straight on. Whoever is in no lane, or drives against its lane, moves as
predicted. So nobody changes lanes: that is the price of staying on the road where a prediction has not looked at it for 20 s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twm_core.angles import wrap
from twm_core.data.dataset import Batch
from twm_core.data.features.lanes import Path, follow, locate, project
from twm_core.data.scenario import RoadMap
from twm_core.data.schema import MOTION
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.nn.collision_avoidance import avoid_collisions
from twm_core.specs import ForecastSpec, ObservationSpec

Floats = NDArray[np.float64]

RETURN = 100.0
"""Metres of driving after which about a third of the distance to the lane's middle is left."""

_SIDEWAYS = np.pi / 4
"""Radians from the lane's direction above which an agent is not driving along it."""


def along_lanes(motion: Floats, now: Floats, road: RoadMap, dt: float) -> Floats:
    """Motion `[N,k,5]` (x, y, heading, vx, vy) of `N` agents, led along their lanes.

    Args:
        motion: As predicted, frame of the map.
        now: x, y, heading at the last known step `[N,3]`.
        road: The map.
        dt: Seconds of a step.
    """
    if not road.lanes:
        return motion
    place = locate(now[:, :2], now[:, 2], road.lanes)
    by_id = {lane.id: lane for lane in road.lanes}
    led = (place.lane >= 0) & (np.abs(place.lane_angle) < _SIDEWAYS)
    made = motion.copy()
    step = np.diff(np.concatenate([now[:, None, :2], motion[..., :2]], axis=1), axis=1)
    progress = np.hypot(step[..., 0], step[..., 1]).cumsum(axis=1)  # N k
    for number in np.unique(place.lane[led]).tolist():
        who = np.flatnonzero(led & (place.lane == number))
        path = follow(road.lanes[number], by_id)
        begin, offset, _ = project(now[who, :2], path)
        gone = np.concatenate([np.zeros((len(who), 1)), progress[who]], axis=1)
        at, direction = _on(path, begin[:, None] + gone, offset[:, None] * np.exp(-gone / RETURN))
        # From where the agent is: its projection on the path may lie a little beside it at a bend.
        at += now[who, None, :2] - at[:, :1]
        moved = np.diff(at, axis=1)
        made[who, :, :2] = at[:, 1:]
        made[who, :, 2] = direction[:, 1:]
        made[who, :, 3:] = moved / dt
    return made


def lead(motion: Tensor, last: Mapping[str, Tensor], present: Tensor, road: RoadMap | None, dt: float) -> Tensor:
    """Motion of several futures led along lanes, in which agents give way to one another (`twm_core.nn.collision_avoidance`).

    Args:
        motion: x, y, heading, vx, vy as predicted, `[S,k,A,5]`, frame of the map.
        last: x, y, heading at the last known step, `[S,A]` each; and length and width, without which nobody gives way.
        present: bool `[S,A]`: who is there.
        road: The map, None where there is none.
        dt: Seconds of a step.
    """
    now = torch.stack([last["x"], last["y"], last["heading"]], dim=-1)  # S A 3
    if road is not None:
        rows = motion.transpose(1, 2).flatten(0, 1).double().cpu().numpy()
        led = torch.from_numpy(along_lanes(rows, now.flatten(0, 1).double().cpu().numpy(), road, dt)).to(motion)
        motion = torch.where(present[:, None, :, None], led.unflatten(0, now.shape[:2]).transpose(1, 2), motion)
    if not {"length", "width"} <= set(last):
        return motion
    size = torch.stack([last["length"], last["width"]], dim=-1)
    return avoid_collisions(motion, now, size, present, torch.full((len(motion),), dt, device=motion.device))


class OnLanes(Forecaster):
    """Somebody else's forecasts led along lanes, so that a comparison is about speeds and not about who knows the road.

    Args:
        inner: A forecaster of x, y, heading, vx and vy.
        obs_spec: Spec of the batches.
        every: Seconds after which places on lanes are looked up anew.
        road: The map of the window that is forecast next, None where it has none.
    """

    def __init__(self, inner: Forecaster, obs_spec: ObservationSpec, *, every: float, road: Callable[[], RoadMap | None]) -> None:
        self.inner, self.obs_spec, self.road = inner, obs_spec, road
        self.steps = max(1, round(every / obs_spec.dt))
        self.columns = [inner.gives.states.index(n) for n in MOTION]
        self.gives = ForecastSpec(states=MOTION, several=inner.gives.several)

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        found = self.inner.forecast(observed, steps=steps, samples=samples, generator=generator).states[..., self.columns]
        last, present = observed["agents.state"][:, -1], observed["agents.exists"][:, -1]
        state, road = self.obs_spec.get("agents.state"), self.road()
        names = [f.name for f in state.features]
        futures = []
        for raw in found.unbind(dim=1):  # B H A 5
            known = {n: last[..., names.index(n)] for n in ("x", "y", "heading", "length", "width") if n in names}
            before = torch.stack([known["x"], known["y"]], dim=-1)  # where the forecast was at the last step that was led
            made: list[Tensor] = []
            for part in raw.split(self.steps, dim=1):
                here = torch.stack([known["x"], known["y"]], dim=-1)
                moved = torch.cat([part[..., :2] - before[:, None] + here[:, None], part[..., 2:]], dim=-1)
                made.append(lead(moved, known, present, road, self.obs_spec.dt))
                before = part[:, -1, :, :2]
                known = {**known, **{n: made[-1][:, -1, :, i] for i, n in enumerate(("x", "y", "heading"))}}
            futures.append(torch.cat(made, dim=1))
        return Forecast(states=torch.stack(futures, dim=1))


def _on(path: Path, s: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """Positions `[N,k,2]` and directions `[N,k]` at distances along a path and offsets to its left; directions turn over `_BEND` metres."""
    ahead, behind = (_segment(path, s + side * _BEND) for side in (0.5, -0.5))
    share = np.clip((s + 0.5 * _BEND - path.along[ahead]) / _BEND, 0.0, 1.0)
    turn = wrap(path.angle[ahead] - path.angle[behind])
    direction = path.angle[behind] + share * turn
    segment = _segment(path, s)
    at = path.start[segment] + path.unit[segment] * (s - path.along[segment])[..., None]
    left = np.stack([-np.sin(direction), np.cos(direction)], axis=-1)
    return at + offset[..., None] * left, direction


_BEND = 10.0
"""Metres over which a kink of the centre line is rounded."""


def _segment(path: Path, s: Floats) -> NDArray[np.int64]:
    return np.clip(np.searchsorted(path.along, s, side="right") - 1, 0, len(path.along) - 1)
