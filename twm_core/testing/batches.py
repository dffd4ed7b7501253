"""Synthetic inputs for any spec: small batches of plausible traffic, with agents that enter, leave, hide, or never come.

`Fed` holds named tensors together with their axis letters, so that one function can permute agents, take rows, splice time or spoil
what stands where an agent does not exist, whatever the kind of the component that is fed. Sizes are `B = 3`, `T = 5`, `A = 7`: the
last two differ from each other and from every width used here, so that a swapped axis shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_core.data.schema import EXISTENCE_CODES, MOTION, TRAFFIC_FEATURES, agent_actions, traffic_observations
from twm_core.specs import ActionSpec, Feature, KeySpec, ObservationSpec

BATCH, STEPS, AGENTS = 3, 5, 7
EXISTS = "agents.exists"
CODE = "agents.code"

Presence = Literal["ragged", "none", "one", "all"]


@dataclass(frozen=True)
class Fed:
    """Named tensors with their axis letters; letters other than `B`, `T`, `A` are never permuted or cut.

    Attributes:
        values: Tensors by key.
        axes: Their axis letters.
        classes: Number of values of integer keys.
        held: Keys that are used without regard to who comes and goes; they matter for the agents that exist at this step.
        finite: Keys that come from other components, which promise finite numbers; they are spoiled with those only.
    """

    values: dict[str, Tensor]
    axes: dict[str, str]
    classes: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    finite: frozenset[str] = frozenset()

    @property
    def exists(self) -> Tensor | None:
        """Which agents are there, `[B,T,A]`; None where the situation has no agents."""
        return self.values.get(EXISTS)

    def take(self, axis: str, index: Tensor) -> Fed:
        """Entries `index` of an axis, in every tensor that has it."""
        return replace(
            self, values={k: v.index_select(self.axes[k].index(axis), index) if axis in self.axes[k] else v for k, v in self.values.items()}
        )

    def splice(self, other: Fed, at: int, keys: Iterable[str] | None = None) -> Fed:
        """Steps before `at` from this, steps from `at` on from `other`; only for `keys` where they are given."""
        chosen = set(self.values if keys is None else keys)
        timed = {k for k in chosen & set(self.values) if "T" in self.axes[k]}
        values = {k: torch.cat([v[:, :at], other.values[k][:, at:]], dim=1) if k in timed else v for k, v in self.values.items()}
        return replace(self, values=values)

    def put(self, **values: Tensor) -> Fed:
        """With some tensors replaced (dots in a key are written as two underscores)."""
        return replace(self, values={**self.values, **{k.replace("__", "."): v for k, v in values.items()}})

    def without(self, keys: Iterable[str]) -> Fed:
        """Without some tensors."""
        drop = set(keys)
        return replace(self, values={k: v for k, v in self.values.items() if k not in drop})

    def to(self, device: str) -> Fed:
        """On another device."""
        return replace(self, values={k: v.to(device) for k, v in self.values.items()})

    def padded(self, more: int, fill: float) -> Fed:
        """With `more` empty slots of agents: rubbish of size `fill` in their numbers, 0 and False elsewhere."""
        values: dict[str, Tensor] = {}
        for key, value in self.values.items():
            if "A" in self.axes[key]:
                at = self.axes[key].index("A")
                empty = torch.zeros([*value.shape[:at], more, *value.shape[at + 1 :]], dtype=value.dtype)
                if value.is_floating_point():
                    empty = torch.full_like(empty, fill) * torch.arange(1, empty.shape[-1] + 1)
                value = torch.cat([value, empty], dim=at)
            values[key] = value
        return replace(self, values=values)

    def spoiled(self, fill: float) -> Fed:
        """With `fill` (or other valid classes, for integers) wherever an agent does not exist; existence itself stays as it is.

        Keys without a time axis are spoiled for agents that never exist.
        """
        exists = self.values[EXISTS]
        values = dict(self.values)
        for key, value in self.values.items():
            axes = self.axes[key]
            if "A" not in axes or key in (EXISTS, CODE):
                continue
            mask = exists if "T" in axes else exists.any(dim=1)
            if key in self.held:
                mask = exists[:, self.held[key], None].expand_as(exists)
            mask = mask.reshape(*mask.shape, *(1,) * (value.dim() - mask.dim()))
            if value.is_floating_point():
                rubbish = torch.full_like(value, 1000.0 if key in self.finite else fill)
            elif value.dtype == torch.bool:
                rubbish = ~value
            else:
                rubbish = (value + 1) % self.classes.get(key, 2)
            values[key] = torch.where(mask, value, rubbish)
        return replace(self, values=values)


def observation_specs() -> dict[str, ObservationSpec]:
    """What datasets may give, by name: traffic with every feature, with motion only, and sensors without agents.

    Sensors are one image and one vector; two images, a vector, a label, reward and ends; or the same without images.
    """

    def traffic(features: tuple[str, ...], lanes: int, sites: int) -> ObservationSpec:
        return traffic_observations(features=features, dt=0.2, context=3, horizon=2, protocol="synthetic", lanes=lanes, sites=sites)

    def image(name: str, *shape: int) -> KeySpec:
        return KeySpec(key=f"image.{name}", axes="B T C H W", dtype="uint8", shape=shape)

    def sensors(*keys: KeySpec) -> ObservationSpec:
        common = (KeySpec(key="dt", axes="B"), KeySpec(key="is_first", axes="B T", dtype="bool"))
        scenario = KeySpec(key="scenario", axes="B", dtype="int64", role="target")
        return ObservationSpec(keys=(*keys, *common, scenario), dt=0.2, context=3, horizon=2, protocol="synthetic")

    own = KeySpec(key="vector.own", axes="B T D", shape=(6,), features=tuple(Feature(name=f"own_{i}") for i in range(6)))
    kind = KeySpec(key="vector.kind", axes="B T", dtype="int64", classes=5)
    returns = (KeySpec(key="reward", axes="B T"), *(KeySpec(key=k, axes="B T", dtype="bool") for k in ("is_last", "is_terminal")))
    return {
        "traffic with every feature": traffic(tuple(TRAFFIC_FEATURES), 6, 4),
        "traffic with motion only": traffic(MOTION, 0, 0),
        "sensors without agents": sensors(image("front", 3, 64, 64), own),
        "sensors and rewards": sensors(image("front", 3, 32, 32), image("rear", 1, 32, 32), own, kind, *returns),
        "vectors and rewards": sensors(own, kind, *returns),
    }


def mapped_traffic() -> ObservationSpec:
    """Traffic with a map raster, which some encoders and losses read."""
    return traffic_observations(features=MOTION, dt=0.2, context=3, horizon=2, protocol="synthetic", raster_size=32)


def action_specs() -> dict[str, ActionSpec | None]:
    """What may be done between two steps, by name."""
    return {
        "no actions": None,
        "scene actions": ActionSpec(layout="scene", features=(Feature(name="speed", unit="m/s"), Feature(name="turn", unit="rad"))),
        "agent actions": agent_actions(("acceleration", "m/s^2"), ("steering", "rad")),
    }


def presence(pattern: Presence, *, batch: int = BATCH, steps: int = STEPS, agents: int = AGENTS) -> Tensor:
    """Existence `[B,T,A]`: `ragged` has agents that stay, leave, enter late, hide, never come, and a step with nobody."""
    exists = torch.zeros(batch, steps, agents, dtype=torch.bool)
    if pattern == "all":
        exists[:] = True
    elif pattern == "one":
        exists[:, :, 1] = True
    elif pattern == "ragged":
        exists[:] = True
        exists[0, 2:, 1] = False
        exists[0, :2, 2] = False
        exists[0, 1:3, 3] = False
        exists[0, :, agents - 1] = False
        exists[1:, :, agents - 2 :] = False
        exists[1, :3, 0] = False
        exists[1, 2, :] = False
        exists[2, 3:, 2] = False
    return exists


def codes(exists: Tensor) -> Tensor:
    """Existence codes uint8 `[B,T,A]` that agree with `exists`."""
    seen = exists.cumsum(dim=1) > 0
    later = exists.flip(1).cumsum(dim=1).flip(1) > 0
    name = EXISTENCE_CODES.index
    code = torch.full(exists.shape, name("padding"), dtype=torch.uint8)
    code[later & ~seen] = name("not_entered")
    code[seen & later] = name("occluded")
    code[seen & ~later] = name("left")
    code[exists] = name("observed")
    return code


def synthetic(
    obs_spec: ObservationSpec,
    *,
    seed: int = 0,
    pattern: Presence = "ragged",
    action: ActionSpec | None = None,
    steps: int = STEPS,
    exists: Tensor | None = None,
) -> Fed:
    """A batch for `obs_spec` (and `action`, under the key `action`) of `B = 3` windows of `steps`, the same for the same seed.

    Rows where an agent does not exist are zero, as datasets make them. Who is there can be given, bool `[B,T,A]`, instead of a pattern;
    then the sizes are those of `exists`.
    """
    generator = torch.Generator().manual_seed(seed)
    exists = presence(pattern, steps=steps) if exists is None else exists
    sizes = dict(zip("BTA", exists.shape, strict=True))
    values: dict[str, Tensor] = {}
    axes = {k.key: k.axes.replace(" ", "") for k in obs_spec.keys}
    for key in obs_spec.keys:
        fixed = iter(key.shape)
        shape = [sizes[a] if a in sizes else next(fixed) for a in axes[key.key]]
        values[key.key] = _fill(key, shape, exists, obs_spec.dt, generator)
    if action is not None:
        axes["action"] = "BTU" if action.layout == "scene" else "BTAU"
        values["action"] = torch.randn([sizes.get(a, action.width) for a in axes["action"]], generator=generator)
    return Fed(values, axes, {k.key: k.classes for k in obs_spec.keys if k.classes})


def _fill(key: KeySpec, shape: list[int], exists: Tensor, dt: float, generator: torch.Generator) -> Tensor:
    if key.key == EXISTS:
        return exists.clone()
    if key.key == CODE:
        return codes(exists)
    if key.key == "agents.state":
        return _motion(key, shape, dt, generator) * exists.unsqueeze(-1)
    if key.key == "agents.scored":
        return exists.all(dim=1)
    if key.key == "map.pose":
        return _poses(key, shape, generator)
    if key.key == "dt":
        return torch.full(shape, dt)
    if key.key == "is_first":
        first = torch.zeros(shape, dtype=torch.bool)
        first[:, 0] = True
        return first
    if key.key in ("is_last", "is_terminal"):
        ends = torch.zeros(shape, dtype=torch.bool)
        ends[: None if key.key == "is_last" else 1, -1] = True  # the others are merely cut
        return ends
    if key.dtype == "float32":
        return torch.randn(shape, generator=generator)
    if key.dtype == "bool":
        return torch.rand(shape, generator=generator) < 0.5
    value = torch.randint(0, key.classes or (256 if key.dtype == "uint8" else 2), shape, generator=generator)
    return value.to(torch.uint8) if key.dtype == "uint8" else value


def _poses(key: KeySpec, shape: list[int], generator: torch.Generator) -> Tensor:
    """Rasters about the middle of the traffic that `_motion` makes, in any direction, wide enough for most of it."""
    pose = 5 * torch.randn(shape, generator=generator)
    pose[:, key.index("heading")] = 2 * math.pi * torch.rand(shape[0], generator=generator) - math.pi
    pose[:, key.index("metres_per_pixel")] = 2.0
    return pose


def _motion(key: KeySpec, shape: list[int], dt: float, generator: torch.Generator) -> Tensor:
    """Vehicles on gentle curves, `[B,T,A,F]`: features that have a meaning get one, the others are noise of size 1."""
    batch, steps, agents, _ = shape
    state = torch.randn(shape, generator=generator)

    def draw() -> Tensor:
        return torch.rand((batch, 1, agents), generator=generator)

    time = torch.arange(steps).reshape(1, -1, 1) * dt
    turn, speed = 0.3 * (draw() - 0.5), 2 + 10 * draw()
    heading = 2 * math.pi * draw() - math.pi + turn * time
    heading = wrap_tensor(heading)
    vx, vy = speed * heading.cos(), speed * heading.sin()
    named: Mapping[str, Tensor] = {
        "x": 60 * draw() - 30 + dt * vx.cumsum(dim=1),
        "y": 60 * draw() - 30 + dt * vy.cumsum(dim=1),
        "heading": heading,
        "vx": vx,
        "vy": vy,
        "ax": -turn * vy,
        "ay": turn * vx,
        "yaw_rate": turn.expand(-1, steps, -1),
        "length": (4 + draw()).expand(-1, steps, -1),
        "width": (1.7 + 0.4 * draw()).expand(-1, steps, -1),
    }
    for i, feature in enumerate(key.features):
        if feature.name in named:
            state[..., i] = named[feature.name]
        elif feature.kind == "flag":
            state[..., i] = (state[..., i] > 0).float()
    return state
