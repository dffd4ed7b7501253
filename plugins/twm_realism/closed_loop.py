"""A world model in closed loop: what it predicts is put on the map, observed anew, and predicted from.

A latent rollout decodes a future from one belief and never looks at the road again. Over 20 s at motorway speed that is 400 m of road that
nobody saw. Here the model predicts `every` seconds, the decoded motion becomes the newest observed steps, and everything that a data set
derives from motion and map (accelerations, yaw rate, lane features, leaders) is derived from it by the very function that makes scenarios
of recordings (`twm_core.data.features.derive`); then the model observes the last steps and predicts on. Futures are independent of one
another.

With `on_lanes` the decoded motion is led along lanes before it is observed (`twm_realism.lane_keeping`), and whoever would run into another
one gives way (`twm_core.nn.collision_avoidance`). Speeds and distances are the model's, the road is the map's.

Only the past is used: the observed steps, the map, and predictions. Who is there at the last observed step stays until the end. Lane tokens
of predicted places are those that the same lanes have in the observed steps; lanes on which nobody was seen have the token 0 (unknown).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.features.derive import derive
from twm_core.data.recording import Recording
from twm_core.data.scenario import OBSERVED, RoadMap, Scenario
from twm_core.data.schema import MOTION
from twm_core.errors import UsageError
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.nn.world_model import WorldModel
from twm_core.specs import ForecastSpec
from twm_realism.lane_keeping import lead

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SIZE = ("length", "width")
_RECORDED = (*MOTION, *_SIZE)


class ClosedLoop(Forecaster):
    """See the module.

    Args:
        model: A world model that decodes x, y, heading, vx and vy of agents.
        every: Seconds from one observation to the next.
        road: The map of the window that is forecast next, None where it has none. A batch holds no polylines, so whoever owns the data
            set tells; the map is known when the forecast is made.
        on_lanes: Lead predicted motion along lanes, and let agents give way to one another.

    Raises:
        UsageError: The model decodes less, needs actions or a raster, or `every` is no whole number of steps.
    """

    def __init__(self, model: WorldModel, *, every: float, road: Callable[[], RoadMap | None], on_lanes: bool = False) -> None:
        obs_spec = model.obs_spec
        decoded = model.output.get("agents.state").features
        self.model, self.road, self.on_lanes = model, road, on_lanes
        self.features = tuple(f.name for f in obs_spec.get("agents.state").features)
        self.steps = round(every / obs_spec.dt)
        if self.steps < 1 or abs(self.steps * obs_spec.dt - every) > 1e-6:
            raise UsageError(
                f"closed loop: {every:g} s is not a whole number of steps of {obs_spec.dt:g} s", f"use a multiple of {obs_spec.dt:g}"
            )
        if missing := [n for n in MOTION if n not in decoded]:
            raise UsageError(f"closed loop: the model does not decode {', '.join(missing)}", "use the decoder agents")
        if model.action is not None or obs_spec.has("map.raster"):
            raise UsageError("closed loop: actions and map rasters of predicted steps are not known", "train without them")
        self.decoded = [decoded.index(n) for n in MOTION]
        self.gives = ForecastSpec(states=MOTION, several=True)

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        futures = [
            self._window({k: v[b : b + 1] for k, v in observed.items()}, steps, samples, generator)
            for b in range(len(observed["agents.state"]))
        ]
        return Forecast(states=torch.stack(futures))

    @torch.no_grad()
    def _window(self, observed: Batch, steps: int, samples: int, generator: torch.Generator) -> Tensor:
        """Futures `[S,H,A,5]` of one window."""
        road = self.road()
        batch = {k: v.expand(samples, *v.shape[1:]).clone() for k, v in observed.items()}
        tokens = self._tokens(observed, road) if "agents.lane" in batch else None
        present = batch["agents.exists"][:, -1:]
        made: list[Tensor] = []
        context = batch["agents.state"].shape[1]
        while sum(m.shape[1] for m in made) < steps:
            decoded = self.model.forecast(batch, context=context, steps=self.steps, samples=1, generator=generator)
            motion = decoded["agents.state"].mean[:, 0][..., self.decoded]  # [S, k, A, 5]
            if self.on_lanes:
                motion = self._led(motion, batch["agents.state"][:, -1], present[:, 0], road)
            made.append(motion)
            state, lane = self._observe(batch, motion, present[0, 0], road, tokens)
            batch["agents.state"] = torch.cat([batch["agents.state"], state], dim=1)[:, -context:]
            batch["agents.exists"] = torch.cat([batch["agents.exists"], present.expand(-1, self.steps, -1)], dim=1)[:, -context:]
            if lane is not None:
                batch["agents.lane"] = torch.cat([batch["agents.lane"], lane], dim=1)[:, -context:]
        return torch.cat(made, dim=1)[:, :steps]

    def _led(self, motion: Tensor, last: Tensor, present: Tensor, road: RoadMap | None) -> Tensor:
        """Motion `[S,k,A,5]` led along lanes, in which agents give way."""
        known = {n: last[..., self.features.index(n)] for n in (*MOTION[:3], *_SIZE) if n in self.features}
        return lead(motion, known, present, road, self.model.obs_spec.dt)

    def _observe(
        self, batch: Batch, motion: Tensor, present: Tensor, road: RoadMap | None, tokens: dict[str, int] | None
    ) -> tuple[Tensor, Tensor | None]:
        """All features `[S,k,A,F]` of predicted motion, and lane tokens `[S,k,A]`."""
        samples, steps, agents = motion.shape[:3]
        who = present.nonzero()[:, 0]
        last = batch["agents.state"][:, -1:]
        rows = last.repeat(1, steps + 1, 1, 1)
        for i, name in enumerate(MOTION):
            rows[:, 1:, :, self.features.index(name)] = motion[..., i]
        scenario = self._derive(rows[:, :, who], batch["agents.type"][0, who], road)
        derived = torch.from_numpy(scenario.state).reshape(samples, len(who), steps + 1, -1).transpose(1, 2)[:, 1:]
        state = torch.zeros_like(rows[:, 1:])
        state[:, :, who] = derived.to(state)
        for name in _RECORDED:
            # As predicted: the frame of the map's origin is not that of the batch.
            if name in self.features:
                state[..., self.features.index(name)] = rows[:, 1:, :, self.features.index(name)]
        state = state * present[:, None]
        if tokens is None:
            return state, None
        lane = torch.zeros(samples, steps, agents, dtype=torch.int64, device=motion.device)
        named = self._named(scenario, tokens).reshape(samples, len(who), steps + 1).transpose(0, 2, 1)[:, 1:]
        lane[:, :, who] = torch.from_numpy(np.ascontiguousarray(named)).to(lane.device)
        return state, lane

    def _derive(self, rows: Tensor, kind: Tensor, road: RoadMap | None) -> Scenario:
        """A scenario of states `[S,T,A,F]`: a track for each agent of each future, futures one after another in time."""
        samples, steps, agents, _ = rows.shape
        tracks = samples * agents
        columns = {
            n: rows[..., self.features.index(n)].transpose(1, 2).reshape(-1).cpu().numpy().astype(np.float64)
            for n in _RECORDED
            if n in self.features
        }
        recording = Recording(
            id="rollout",
            site="rollout",
            group="rollout",
            dt=self.model.obs_spec.dt,
            steps=samples * steps,
            track=tuple(map(str, range(tracks))),
            type=np.tile(kind.cpu().numpy(), samples),
            first=np.repeat(np.arange(samples) * steps, agents),
            length=np.full(tracks, steps),
            columns=columns,
            code=np.full(tracks * steps, OBSERVED, dtype=np.uint8),
            road=road,
        )
        return derive(recording, features=self.features, allow_no_map=True)

    def _tokens(self, observed: Batch, road: RoadMap | None) -> dict[str, int]:
        """The token of each lane on which somebody was observed, by the lane's name; the most frequent one where they differ."""
        exists, tokens = observed["agents.exists"][0], observed["agents.lane"][0]
        who = exists[-1].nonzero()[:, 0]
        last = observed["agents.state"][:, -1:, who]
        scenario = self._derive(last, observed["agents.type"][0, who], road)
        if scenario.lane is None:
            return {}
        found: dict[str, list[int]] = {}
        for number, token in zip(scenario.lane.tolist(), tokens[-1, who].tolist(), strict=True):
            if number > 0:
                found.setdefault(scenario.lane_names[number - 1], []).append(token)
        return {name: max(sorted(set(seen)), key=seen.count) for name, seen in found.items()}

    @staticmethod
    def _named(scenario: Scenario, tokens: dict[str, int]) -> Ints:
        """Lane tokens of all rows `[R]`."""
        if scenario.lane is None:
            return np.zeros(len(scenario.state), dtype=np.int64)
        table = np.array([0, *(tokens.get(name, 0) for name in scenario.lane_names)], dtype=np.int64)
        return table[scenario.lane]
