"""The baseline `idm`: vehicles follow their leader by the intelligent driver model (`car_following`) along their way (`way`).

All vehicles of a scene are rolled forward together, so a leader that brakes brakes its followers. Who leads whom (`in_front`) stays what
it is at the last observed step: nobody changes lanes, enters, leaves or turns off, nobody yields or sees a traffic light. Pedestrians,
bicycles, other agents that are no vehicles, and vehicles that roll backwards keep their velocity. So does the leader's speed where the
leader is no vehicle, or is not in the scene. A vehicle that is hidden at the last observed step goes on freely from where it was last seen.

Parameters that the config leaves out are fitted by least squares on how far vehicles travelled in training windows (`driver_fit`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from twm_baselines.car_following import Parameters, Traffic, roll
from twm_baselines.config_idm import IDMConfig
from twm_baselines.constant import one_future
from twm_baselines.driver_fit import Travelled, fit_parameters
from twm_baselines.lane_path import LanePath, lane_path_of
from twm_baselines.leaders import find_leaders
from twm_baselines.observed import Observed, columns, motion, observe, times
from twm_core.angles import wrap_tensor
from twm_core.data.dataset import Batch, Windows
from twm_core.data.windows.loader import evenly_spaced
from twm_core.errors import DataError, UsageError
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.nn.batches import same_episode, slice_time
from twm_core.specs import AGENT_TYPES, BaselineSpecs, ForecastSpec, ObservationSpec

VEHICLES = ("unknown", "car", "truck", "bus", "motorcycle")
"""Types that drive; who is `unknown` is taken for a vehicle, because the model is asked for where lanes or leaders are."""

_FIELDS = {"desired_speed": 30, "compliance": 1, "headway": 1.5, "standstill": 2, "acceleration": 1, "braking": 1.5}
"""The parameters, each with a usual value."""
_GIVEN = " ".join(f"--set baseline.idm.{name}={value}" for name, value in _FIELDS.items())
_ROWS = 32


class Scene(NamedTuple):
    """Traffic at the last observed step, and the way of each agent with how far along it the agent already is, `[B,A]`."""

    traffic: Traffic
    path: LanePath
    begun: Tensor


class IDM(Forecaster):
    """Rolls traffic forward.

    Attributes:
        parameters: Given or fitted; None before `fit` where something has to be.
    """

    def __init__(self, *, config: IDMConfig, obs_spec: ObservationSpec, gives: ForecastSpec) -> None:
        self.config = config
        self.obs_spec = obs_spec
        self.gives = gives
        self.given = {n: v for n in _FIELDS if (v := getattr(config, n)) is not None}
        self.parameters = Parameters(**self.given) if len(self.given) == len(_FIELDS) else None

    def fit(self, windows: Windows) -> None:
        """Fit what is not given to training windows.

        Raises:
            UsageError: The windows have no predicted steps.
            DataError: No vehicle is there after the observed steps.
        """
        if self.parameters is not None:
            return
        if not self.obs_spec.horizon:
            raise UsageError("baseline idm: the windows have no predicted steps to fit to", "give all six parameters, or longer windows")
        indices = evenly_spaced(windows, self.config.fit_windows)
        parts = [self._travelled(windows.batch(indices[at : at + _ROWS])) for at in range(0, len(indices), _ROWS)]
        if not any(bool(part.counted.any()) for part in parts):
            raise DataError(
                "baseline idm: no vehicle drives on after the observed steps of the training windows",
                f"leave --baseline idm out, or give all six parameters, such as {_GIVEN}",
            )
        self.parameters = fit_parameters(parts, given=self.given)

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        if self.parameters is None:
            raise UsageError("baseline idm has learned no drivers yet", "call fit with training windows first, or give all six parameters")
        found = observe(observed)
        scene = self._scene(found, observed["agents.type"])
        travelled, speed = roll(scene.traffic, self.parameters, steps)
        x, y, direction = scene.path.spread(1).at(scene.begun[:, None] + travelled)
        kept_x, kept_y, heading, vx, vy = motion(found, self.obs_spec)
        t = times(found, steps)
        driven = scene.traffic.driven[:, None]
        parts = [
            torch.where(driven, x, kept_x + vx * t),
            torch.where(driven, y, kept_y + vy * t),
            torch.where(driven, wrap_tensor(direction), heading),
            torch.where(driven, speed * direction.cos(), vx),
            torch.where(driven, speed * direction.sin(), vy),
        ]
        return one_future(parts, steps)

    def _scene(self, found: Observed, kinds: Tensor) -> Scene:
        last, here, obs_spec = found.last, found.exists[:, -1], self.obs_spec
        names = {f.name for f in obs_spec.get("agents.state").features}
        vx, vy = columns(last, obs_spec, ("vx", "vy"))
        length = columns(last, obs_spec, ("length",))[0]
        limit = columns(last, obs_spec, ("speed_limit",))[0] if "speed_limit" in names else torch.zeros_like(vx)
        path = lane_path_of(last, obs_spec)
        along = vx * path.direction.cos() + vy * path.direction.sin()
        types = torch.tensor([AGENT_TYPES.index(n) for n in VEHICLES], device=kinds.device)
        vehicle = torch.isin(torch.where(found.exists.any(dim=1), kinds, -1), types)
        leader = find_leaders(last, here, path, obs_spec)
        other = torch.where(leader.leads >= 0, length.gather(1, leader.leads.clamp_min(0)), length)
        traffic = Traffic(
            speed=torch.where(vehicle, along.clamp_min(0.0), torch.hypot(vx, vy)),
            limit=limit,
            driven=vehicle & (along >= 0),
            leads=leader.leads,
            followed=leader.followed,
            gap=leader.distance - (length + other) / 2,
            leader_speed=leader.speed,
            dt=found.dt,
        )
        return Scene(traffic, path, traffic.speed * found.age)

    def _travelled(self, batch: Batch) -> Travelled:
        """A training batch: its traffic, and how far everybody then travelled."""
        context = self.obs_spec.context
        found = observe(slice_time(batch, self.obs_spec, 0, context))
        scene = self._scene(found, batch["agents.type"])
        x, y = columns(batch["agents.state"][:, context - 1 :], self.obs_spec, ("x", "y"))
        here = batch["agents.exists"][:, context - 1 :]
        here = here & torch.cat([here.new_ones(len(here), 1, 1), same_episode(batch["is_first"], context)[..., None]], dim=1)
        counted = here.cumprod(dim=1)[:, 1:].bool() & scene.traffic.driven[:, None]
        moved = torch.hypot(x[:, 1:] - x[:, :-1], y[:, 1:] - y[:, :-1])
        return Travelled(scene.traffic, torch.where(counted, moved, 0.0).cumsum(dim=1), counted)


def build(config: IDMConfig, specs: BaselineSpecs) -> IDM:
    """The baseline `idm`."""
    return IDM(config=config, obs_spec=specs.obs_spec, gives=config.gives(specs.obs_spec))
