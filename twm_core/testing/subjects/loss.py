"""Losses: fed with a batch (traffic or sensors) and with outputs around the truth, made of core's own distributions.

Distributions with several modes belong to plugins; for them there is a stand-in.
The tensors of those outputs are leaves under names such as `prediction agents.state`, so that gradients can be read and slots permuted,
padded or spoiled. Their mean is the truth plus `deviation` times noise; posterior and prior differ by as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from twm_core.data.schema import MOTION
from twm_core.nn.distributions import MSE, Bernoulli, Categorical, Classes, Distribution, Normal
from twm_core.nn.interfaces import Ahead, Belief, Features, Outputs, Rollout
from twm_core.nn.targets import CONTINUE, DERIVED, target
from twm_core.specs import LatentSpec, LossSpecs, ObservationSpec, OutputKey, OutputSpec
from twm_core.testing.batches import EXISTS, Fed, mapped_traffic, observation_specs, synthetic
from twm_core.testing.readings import Reading, Readings
from twm_core.testing.stand_ins import Futures, Modes
from twm_core.testing.subjects.base import Situation, Subject
from twm_core.testing.tolerance import numbers, parameters

SAMPLES = 2
STATE = "agents.state"
BRANCHES = ("reconstruction", "prediction", "rollout", "ahead")
FUTURES = "agents.futures"
LATENTS = {
    "deterministic agent latents": LatentSpec(layout="agents", width=10),
    "gaussian agent latents": LatentSpec(layout="agents", width=16, family="gaussian", deter=10, groups=6),
    "categorical agent latents": LatentSpec(layout="agents", width=22, family="categorical", deter=10, groups=3, classes=4),
    "gaussian scene latents": LatentSpec(layout="scene", width=16, family="gaussian", deter=10, groups=6),
    "categorical scene latents": LatentSpec(layout="scene", width=22, family="categorical", deter=10, groups=3, classes=4),
}
TRAFFIC = OutputSpec(keys=(OutputKey(key=STATE, distribution="normal", features=MOTION), OutputKey(key=EXISTS, distribution="bernoulli")))
MODES = OutputSpec(keys=(OutputKey(key=STATE, distribution="motion-mixture", features=MOTION),))
AHEAD = OutputSpec(keys=(OutputKey(key=FUTURES, distribution="future-modes", features=MOTION, ahead=True),))
SENSORS = OutputSpec(keys=(OutputKey(key="vector.own", distribution="normal"),))
REWARDS = OutputSpec(
    keys=(
        OutputKey(key="image.front", distribution="mse"),
        OutputKey(key="vector.own", distribution="mse"),
        OutputKey(key="vector.kind", distribution="classes"),
        OutputKey(key="reward", distribution="mse"),
        OutputKey(key=CONTINUE, distribution="bernoulli"),
    )
)


def _ask(output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec, config: Any) -> LossSpecs:
    refused = config.accepts(output, latent, obs_spec)
    if refused is not None:
        raise refused
    return LossSpecs(output=output, latent=latent, obs_spec=obs_spec)


def _modes(first: Tensor, *, right: bool) -> Tensor:
    """Three courses `[...,3,F+1]` (see `stand_ins.Modes`): one around the truth, two beside it; the weights name it, or another one."""
    modes = torch.stack([first, first + 3, first - 5], dim=-2)
    logits = torch.tensor([4.0, 0.0, 0.0] if right else [0.0, 4.0, 0.0]).expand(modes.shape[:-1])
    return torch.cat([modes, logits.unsqueeze(-1)], dim=-1)


def road_under(obs_spec: ObservationSpec, batch: Fed) -> Tensor:
    """A `map.raster` whose pixels are drivable, and on a boundary and a centre line, where some agent passes close to their middle."""
    state, pose = obs_spec.get(STATE), obs_spec.get("map.pose")
    raster, exists = batch.values["map.raster"], batch.values[EXISTS]
    x, y = (batch.values[STATE][..., state.index(n)].flatten(1) for n in ("x", "y"))
    at = {f.name: batch.values["map.pose"][:, pose.index(f.name), None] for f in pose.features}
    along = (torch.arange(raster.shape[3]) + 0.5 - raster.shape[3] / 2) * at["metres_per_pixel"]
    up = (raster.shape[2] / 2 - torch.arange(raster.shape[2]) - 0.5) * at["metres_per_pixel"]
    dx, dy = x - at["x"], y - at["y"]
    u = dx * at["heading"].cos() + dy * at["heading"].sin()
    v = dy * at["heading"].cos() - dx * at["heading"].sin()
    apart = (u[:, None, None] - along[:, None, :, None]).square() + (v[:, None, None] - up[:, :, None, None]).square()  # B H W N
    near = (apart < at["metres_per_pixel"][:, None, None].square()) & exists.flatten(1)[:, None, None]
    return (255 * near.any(dim=-1)).to(torch.uint8)[:, None].expand_as(raster).contiguous()


class _State(NamedTuple):
    """A state for losses that ask for one: its features."""

    value: Tensor


@dataclass(frozen=True)
class LossFed:
    """A batch, and the leaves of what was decoded and believed."""

    batch: Fed
    leaves: Fed

    def take(self, axis: str, index: Tensor) -> LossFed:
        """Entries `index` of an axis of batch and leaves."""
        return LossFed(self.batch.take(axis, index), self.leaves.take(axis, index))


class LossSubject(Subject):
    """A loss for one output spec and one latent spec."""

    specs: LossSpecs

    @staticmethod
    def situations() -> Iterator[Situation]:
        obs_spec = observation_specs()
        for title, latent in LATENTS.items():
            yield Situation(f"states and existence, {title}", partial(_ask, TRAFFIC, latent, obs_spec["traffic with every feature"]))
        agents = LATENTS["deterministic agent latents"]
        yield Situation("states with several modes", partial(_ask, MODES, agents, obs_spec["traffic with motion only"]))
        yield Situation("whole futures", partial(_ask, AHEAD, agents, obs_spec["traffic with motion only"]))
        yield Situation("states on a map", partial(_ask, TRAFFIC, agents, mapped_traffic()))
        yield Situation("a vector", partial(_ask, SENSORS, LatentSpec(layout="scene", width=10), obs_spec["sensors without agents"]))
        for title, latent in LATENTS.items():
            if latent.layout == "scene":
                yield Situation(f"sensors and rewards, {title}", partial(_ask, REWARDS, latent, obs_spec["sensors and rewards"]))

    @property
    def start(self) -> int:
        """First predicted step of the rollout."""
        return self.specs.obs_spec.context

    @cached_property
    def branches(self) -> frozenset[str]:
        """The decoded branches that the loss says it reads."""
        return frozenset(self.config.branches())  # pyrefly: ignore[missing-attribute]

    def build(self, seed: int = 0) -> Any:
        """As for every subject; losses that keep statistics have seen one batch."""
        module = super().build(seed)
        if hasattr(module, "collect_statistics"):
            module.collect_statistics(dict(self.feed(deviation=0.0).batch.values))
        return module

    def feed(self, *, deviation: float = 0.5, pattern: Any = "ragged") -> LossFed:
        """A batch and outputs that are off by `deviation`."""
        batch = synthetic(self.specs.obs_spec, pattern=pattern)
        if "map.raster" in batch.values:
            batch = batch.put(map__raster=road_under(self.specs.obs_spec, batch))
        source = torch.Generator().manual_seed(3)
        values: dict[str, Tensor] = {}
        axes: dict[str, str] = {}
        for branch in BRANCHES:
            for output in self.decoded_in(branch):
                name = STATE if output.key == FUTURES else output.key
                key = self.specs.obs_spec.get(DERIVED.get(name, name))
                truth = target(batch.values, name)
                truth = truth.float() if truth.dtype == torch.uint8 else truth
                if output.features:
                    truth = truth[..., [key.index(n) for n in output.features]]
                letters = key.axes.replace(" ", "")
                if branch in ("rollout", "ahead"):
                    futures = SAMPLES if branch == "rollout" else 1
                    truth, letters = truth[:, None, self.start :].repeat_interleave(futures, dim=1), letters.replace("T", "SH")
                if output.distribution == "classes":
                    truth, letters = torch.nn.functional.one_hot(truth, key.classes or 2), letters + "C"
                noise = torch.randn(truth.shape, generator=source)
                logit = 8.0 * truth.float() - 4.0
                wrong = torch.where(noise > 0, -logit, logit) if deviation else logit
                off = output.distribution in ("bernoulli", "classes")
                values[f"{branch} {output.key}"] = wrong if off else truth + deviation * noise
                if output.distribution in ("motion-mixture", "future-modes"):
                    values[f"{branch} {output.key}"] = _modes(truth + deviation * noise, right=not deviation)
                axes[f"{branch} {output.key}"] = letters
        latent = self.specs.latent
        lead = list(batch.values["is_first"].shape)
        if latent.layout == "agents":
            lead.append(batch.values[EXISTS].shape[2])
        letters = "BTA" if latent.layout == "agents" else "BT"
        shape = [*lead, latent.groups, latent.classes] if latent.family == "categorical" else [*lead, latent.groups or latent.width]
        values["posterior"] = torch.randn(shape, generator=source)
        values["prior"] = values["posterior"] + 4 * deviation * torch.randn(shape, generator=source)
        axes["posterior"] = axes["prior"] = letters
        future = values["posterior"][:, None, self.start :].repeat_interleave(SAMPLES, dim=1)
        values["imagined"] = future + 4 * deviation * torch.randn(future.shape, generator=source)
        axes["imagined"] = letters.replace("T", "SH")
        return LossFed(batch, Fed(values, axes))

    def belief(self, value: Tensor) -> Belief:
        """A latent as losses see it."""
        latent = self.specs.latent
        wide = value
        if latent.family != "none":
            wide = torch.zeros(
                (*value.shape[: value.dim() - (2 if latent.family == "categorical" else 1)], latent.width), device=value.device
            )
        features = Features(None, wide) if latent.layout == "agents" else Features(wide, None)
        distribution: Distribution | None = None
        if latent.family == "categorical":
            distribution = Categorical(value)
        elif latent.family == "gaussian":
            distribution = Normal(value, torch.full_like(value, 0.7))
        return Belief(_State(wide), features, distribution)

    def distribution(self, output: OutputKey, value: Tensor) -> Distribution:
        """The distribution of a decoded key that is made of the leaf `value`."""
        if output.distribution == "bernoulli":
            return Bernoulli(value)
        if output.distribution == "classes":
            return Classes(value)
        if output.distribution == "motion-mixture":
            return Modes(value)
        if output.distribution == "future-modes":
            return Futures(value)
        if output.distribution == "mse":
            return MSE(value, event=len(self.specs.obs_spec.get(output.key).shape))
        return Normal(value, torch.full_like(value, 0.5))

    def outputs(self, fed: LossFed, *, only: frozenset[str] = frozenset(BRANCHES)) -> Outputs:
        """The outputs made of the leaves, without the branches that are not in `only`."""
        leaves = fed.leaves.values
        decoded: dict[str, dict[str, Distribution]] = {b: {} for b in BRANCHES}
        for branch in only:
            for output in self.decoded_in(branch):
                decoded[branch][output.key] = self.distribution(output, leaves[f"{branch} {output.key}"])
        rollout = Rollout(self.start, decoded["rollout"], self.belief(leaves["imagined"])) if "rollout" in only else None
        ahead = Ahead(self.start, decoded["ahead"]) if "ahead" in only else None
        posterior, prior = self.belief(leaves["posterior"]), self.belief(leaves["prior"])
        return Outputs(posterior, prior, decoded["reconstruction"], decoded["prediction"], rollout, ahead)

    def decoded_in(self, branch: str) -> list[OutputKey]:
        """The keys that are decoded in a branch."""
        return [k for k in self.specs.output.keys if k.ahead is (branch == "ahead")]

    def read(self, module: Any, fed: LossFed, *, only: frozenset[str] = frozenset(BRANCHES)) -> Readings:
        """The terms."""
        return {k: Reading(v, "") for k, v in module(self.outputs(fed, only=only), dict(fed.batch.values)).items()}

    def learn(self, module: Any, fed: LossFed) -> tuple[Readings, dict[str, Tensor]]:
        """The terms, and the gradient of their sum with respect to every leaf (zero where none arrives)."""
        leaves = {k: v.clone().requires_grad_() for k, v in fed.leaves.values.items()}
        terms = self.read(module, LossFed(fed.batch, Fed(leaves, fed.leaves.axes)))
        total = torch.zeros(()) + sum(r.value for r in terms.values())
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True) if total.requires_grad else [None] * len(leaves)
        return terms, {k: torch.zeros_like(v) if g is None else g for (k, v), g in zip(leaves.items(), found, strict=True)}

    def use(self) -> None:
        with torch.no_grad():
            self.read(self.instance, self.fed)

    @cached_property
    def fed(self) -> LossFed:
        """The usual input."""
        return self.feed()

    @cached_property
    def summands(self) -> int:
        """How many numbers go into a term at most: parameters, batch and outputs."""
        given = (parameters(self.instance), self.fed.batch.values.values(), self.fed.leaves.values.values())
        return sum(numbers(tensors) for tensors in given)
