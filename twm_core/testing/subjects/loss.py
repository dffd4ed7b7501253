"""Losses: fed with a batch of traffic and with outputs made of core's own distributions around the truth.

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
from twm_core.nn.distributions import Bernoulli, Categorical, Distribution, Normal
from twm_core.nn.interfaces import Belief, Features, Outputs, Rollout
from twm_core.specs import LatentSpec, LossGiven, ObservationSpec, OutputKey, OutputSpec
from twm_core.testing.batches import EXISTS, Fed, observation_specs, synthetic
from twm_core.testing.readings import Reading, Readings
from twm_core.testing.subjects.base import Situation, Subject

SAMPLES = 2
STATE = "agents.state"
BRANCHES = ("reconstruction", "prediction", "rollout")
LATENTS = {
    "deterministic agent latents": LatentSpec(layout="agents", width=10),
    "gaussian agent latents": LatentSpec(layout="agents", width=16, family="gaussian", deter=10, groups=6),
    "categorical agent latents": LatentSpec(layout="agents", width=22, family="categorical", deter=10, groups=3, classes=4),
    "gaussian scene latents": LatentSpec(layout="scene", width=16, family="gaussian", deter=10, groups=6),
    "categorical scene latents": LatentSpec(layout="scene", width=22, family="categorical", deter=10, groups=3, classes=4),
}
TRAFFIC = OutputSpec(keys=(OutputKey(key=STATE, distribution="normal", features=MOTION), OutputKey(key=EXISTS, distribution="bernoulli")))
SENSORS = OutputSpec(keys=(OutputKey(key="vector.own", distribution="normal"),))


def _ask(output: OutputSpec, latent: LatentSpec, seen: ObservationSpec, config: Any) -> LossGiven:
    refused = config.accepts(output, latent)
    if refused is not None:
        raise refused
    return LossGiven(output=output, latent=latent, seen=seen)


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

    given: LossGiven

    @staticmethod
    def situations() -> Iterator[Situation]:
        seen = observation_specs()
        for title, latent in LATENTS.items():
            yield Situation(f"states and existence, {title}", partial(_ask, TRAFFIC, latent, seen["traffic with every feature"]))
        yield Situation("a vector", partial(_ask, SENSORS, LatentSpec(layout="scene", width=10), seen["sensors without agents"]))

    @property
    def start(self) -> int:
        """First predicted step of the rollout."""
        return self.given.seen.context

    @cached_property
    def branches(self) -> frozenset[str]:
        """The decoded branches that the loss says it reads."""
        return frozenset(self.config.branches())  # pyrefly: ignore[missing-attribute]

    def feed(self, *, deviation: float = 0.5, pattern: Any = "ragged") -> LossFed:
        """A batch and outputs that are off by `deviation`."""
        batch = synthetic(self.given.seen, pattern=pattern)
        source = torch.Generator().manual_seed(3)
        values: dict[str, Tensor] = {}
        axes: dict[str, str] = {}
        for branch in BRANCHES:
            for output in self.given.output.keys:
                key = self.given.seen.get(output.key)
                truth = batch.values[output.key]
                if output.features:
                    truth = truth[..., [key.index(n) for n in output.features]]
                letters = key.axes.replace(" ", "")
                if branch == "rollout":
                    truth, letters = truth[:, None, self.start :].repeat_interleave(SAMPLES, dim=1), letters.replace("T", "SH")
                noise = torch.randn(truth.shape, generator=source)
                logit = 8.0 * truth.float() - 4.0
                wrong = torch.where(noise > 0, -logit, logit) if deviation else logit
                values[f"{branch} {output.key}"] = wrong if output.distribution == "bernoulli" else truth + deviation * noise
                axes[f"{branch} {output.key}"] = letters
        latent = self.given.latent
        lead = list(batch.values["is_first"].shape)
        if latent.layout == "agents":
            lead.append(batch.values[EXISTS].shape[2])
        letters = "BTA" if latent.layout == "agents" else "BT"
        shape = [*lead, latent.groups, latent.classes] if latent.family == "categorical" else [*lead, latent.groups or latent.width]
        values["posterior"] = torch.randn(shape, generator=source)
        values["prior"] = values["posterior"] + 4 * deviation * torch.randn(shape, generator=source)
        axes["posterior"] = axes["prior"] = letters
        return LossFed(batch, Fed(values, axes))

    def belief(self, value: Tensor) -> Belief:
        """A latent as losses see it."""
        latent = self.given.latent
        wide = torch.zeros((*value.shape[: 3 if latent.layout == "agents" else 2], latent.width))
        features = Features(None, wide) if latent.layout == "agents" else Features(wide, None)
        distribution: Distribution | None = None
        if latent.family == "categorical":
            distribution = Categorical(value)
        elif latent.family == "gaussian":
            distribution = Normal(value, torch.full_like(value, 0.7))
        return Belief(_State(wide), features, distribution)

    def outputs(self, fed: LossFed, *, only: frozenset[str] = frozenset(BRANCHES)) -> Outputs:
        """The outputs made of the leaves, without the branches that are not in `only`."""
        leaves = fed.leaves.values
        decoded: dict[str, dict[str, Distribution]] = {b: {} for b in BRANCHES}
        for branch in only:
            for output in self.given.output.keys:
                value = leaves[f"{branch} {output.key}"]
                made = Bernoulli(value) if output.distribution == "bernoulli" else Normal(value, torch.full_like(value, 0.5))
                decoded[branch][output.key] = made
        rollout = Rollout(self.start, decoded["rollout"]) if "rollout" in only else None
        return Outputs(
            self.belief(leaves["posterior"]), self.belief(leaves["prior"]), decoded["reconstruction"], decoded["prediction"], rollout
        )

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

    @cached_property
    def fed(self) -> LossFed:
        """The usual input."""
        return self.feed()
