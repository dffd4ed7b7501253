"""Dynamics: fed with scene tokens, agent tokens or both, with and without actions, and read as features and distributions.

Samples of stochastic dynamics cannot be compared between runs of different shapes, since the noise is drawn in another order. Two
readings are therefore used. `read` runs whole sequences, always with a generator of the same seed, and is compared only between runs of
equal shapes. `read_quietly` looks at a single step from a known state and keeps what that state determines: the deterministic part of
the features and the parameters of the distributions, before anything is drawn from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from twm_core.nn.interfaces import Dynamics, Embedding, Trace
from twm_core.nn.state import State, at_time
from twm_core.specs import ActionSpec, DynamicsSpecs, EmbeddingSpec
from twm_core.testing.batches import AGENTS, BATCH, EXISTS, STEPS, Fed, action_specs, presence
from twm_core.testing.readings import Reading, Readings, tensors_of
from twm_core.testing.subjects.base import ModuleSubject, Situation

EMBEDDINGS = {
    "scene token": EmbeddingSpec(scene=12),
    "agent tokens": EmbeddingSpec(agents=10),
    "scene and agent tokens": EmbeddingSpec(scene=12, agents=10),
}
SAMPLES, HORIZON, FROM = 2, 4, 2
IMAGINED = "imagined.action"
MOTION = "motion"


def _ask(embedding: EmbeddingSpec, action: ActionSpec | None, config: Any) -> DynamicsSpecs:
    return DynamicsSpecs(embedding=embedding, action=action, latent=config.latent(embedding, action))


class Told(NamedTuple):
    """The arguments of `observe`."""

    embedding: Embedding
    actions: Tensor | None
    is_first: Tensor
    exists: Tensor | None
    motion: Tensor | None


def told(fed: Fed) -> Told:
    """An input as the arguments of `observe`."""
    v = fed.values
    return Told(
        Embedding(v.get("embedding.scene"), v.get("embedding.agents")), v.get("action"), v["is_first"], v.get(EXISTS), v.get(MOTION)
    )


def generator(seed: int | None, device: torch.device | str = "cpu") -> torch.Generator | None:
    """A generator of this seed; None without one (on devices where nothing is drawn)."""
    return None if seed is None else torch.Generator(device).manual_seed(seed)


def device_of(fed: Fed) -> torch.device:
    """The device on which an input lies."""
    return fed.values["is_first"].device


class DynamicsSubject(ModuleSubject):
    """Dynamics with one embedding and one action spec."""

    specs: DynamicsSpecs
    has_statistics = False

    @staticmethod
    def situations() -> Iterator[Situation]:
        actions = action_specs()
        for name, embedding in EMBEDDINGS.items():
            for action in ("no actions", "scene actions", "agent actions"):
                if action == "agent actions" and embedding.agents is None:
                    continue
                yield Situation(f"{name}, {action}", partial(_ask, embedding, actions[action]))

    @property
    def stochastic(self) -> bool:
        """Whether the latent has a stochastic part."""
        return self.specs.latent.family != "none"

    @cached_property
    def fed(self) -> Fed:
        return self.feed()

    def feed(self, *, seed: int = 0, pattern: Any = "ragged") -> Fed:
        source = torch.Generator().manual_seed(seed)
        spec, action = self.specs.embedding, self.specs.action
        values: dict[str, Tensor] = {}
        axes = {"embedding.scene": "BTD", "embedding.agents": "BTAD", EXISTS: "BTA", "is_first": "BT", "action": "BTU"}
        if spec.scene is not None:
            values["embedding.scene"] = torch.randn((BATCH, STEPS, spec.scene), generator=source)
        if spec.agents is not None:
            values["embedding.agents"] = torch.randn((BATCH, STEPS, AGENTS, spec.agents), generator=source)
            values[EXISTS] = presence(pattern)
            if self.specs.latent.geometric:
                axes[MOTION] = "BTAD"
                values[MOTION] = 3 * torch.randn((BATCH, STEPS, AGENTS, 5), generator=source)
        values["is_first"] = torch.zeros((BATCH, STEPS), dtype=torch.bool)
        values["is_first"][:, 0] = True
        if action is not None:
            lead = (BATCH, STEPS) if action.layout == "scene" else (BATCH, STEPS, AGENTS)
            axes["action"] = "BTU" if action.layout == "scene" else "BTAU"
            values["action"] = torch.randn((*lead, action.width), generator=source)
            values[IMAGINED] = values["action"].clone()
            axes[IMAGINED] = axes["action"]
        return Fed(values, axes, held={IMAGINED: FROM})

    def observe(
        self,
        module: Dynamics,
        fed: Fed,
        *,
        state: State | None = None,
        first_action: Tensor | None = None,
        withheld: Tensor | None = None,
        seed: int | None = 7,
    ) -> Trace:
        """Run `observe` on an input."""
        given = told(fed)
        more = {} if given.motion is None else {"motion": given.motion}
        source = generator(seed, device_of(fed))
        return module.observe(
            given.embedding,
            given.actions,
            given.is_first,
            given.exists,
            state=state,
            first_action=first_action,
            withheld=withheld,
            generator=source,
            **more,
        )

    def belief(self, module: Dynamics, state: State, name: str, lead: str, exists: Tensor | None, *, quiet: bool = False) -> Readings:
        """What can be read from a state with leading axes `lead`: features, and the tensors of its distribution.

        Args:
            exists: Mask of the readings per agent, broadcastable to `[lead, A]`.
            quiet: Only what was determined before sampling.
        """
        latent = self.specs.latent
        features = module.features(state)
        readings: Readings = {}
        for part, value in (("scene", features.scene), ("agents", features.agents)):
            if value is None:
                continue
            if quiet and self.stochastic:
                value = value[..., : latent.deter or 0]
            per_agent = part == "agents"
            readings[f"{name}, {part} features"] = Reading(value, lead + "A" * per_agent, exists if per_agent else None)
        distribution = module.distribution(state)
        if distribution is not None:
            for i, tensor in enumerate(tensors_of(distribution)):
                per_agent = self.per_agent(tensor, len(lead))
                readings[f"{name}, distribution tensor {i}"] = Reading(tensor, lead + "A" * per_agent, exists if per_agent else None)
        return readings

    def per_agent(self, tensor: Tensor, at: int) -> bool:
        """Whether axis `at` of a state's tensor counts agents. For layout `both` it does where it has their number."""
        layout = self.specs.latent.layout
        return layout == "agents" or (layout == "both" and tensor.dim() > at and tensor.shape[at] == AGENTS)

    def read(self, module: Any, fed: Fed, *, seed: int | None = 7) -> Readings:
        """Posterior, prior, and futures imagined from step `FROM` on.

        States of agents that are not there count too, except in imagination: nothing corrects them, so that they are well defined.
        """
        trace = self.observe(module, fed, seed=seed)
        actions = fed.values.get(IMAGINED)
        now = None if fed.exists is None else fed.exists[:, FROM]
        imagined = module.imagine(
            at_time(trace.posterior, FROM),
            STEPS - FROM,
            None if actions is None else actions[:, FROM:],
            exists=now,
            samples=SAMPLES,
            generator=generator(seed, device_of(fed)),
        )
        return {
            **self.belief(module, trace.posterior, "posterior", "BT", None),
            **self.belief(module, trace.prior, "prior", "BT", None),
            **self.belief(module, imagined, "imagined", "BSH", None if now is None else now[:, None, None]),
        }

    def read_without_data(self, module: Any) -> Readings:
        """Features of the initial state: a sequence with agents that come and go may be sorted by who is there."""
        lead = (BATCH,) if self.specs.latent.layout == "scene" else (BATCH, AGENTS)
        features = module.features(module.initial(lead))
        return {k: Reading(v, "B") for k, v in (("scene", features.scene), ("agents", features.agents)) if v is not None}

    def expected(self) -> dict[str, list[int]]:
        latent = self.specs.latent
        leads = {"posterior": [BATCH, STEPS], "prior": [BATCH, STEPS], "imagined": [BATCH, SAMPLES, STEPS - FROM]}
        promised: dict[str, list[int]] = {}
        for name, lead in leads.items():
            if latent.scene is not None:
                promised[f"{name}, scene features"] = [*lead, latent.scene]
            if latent.agents is not None:
                promised[f"{name}, agents features"] = [*lead, AGENTS, latent.agents]
        return promised

    @cached_property
    def trace(self) -> Trace:
        """The shared instance run over the usual input."""
        with torch.no_grad():
            return self.observe(self.instance, self.fed)

    @cached_property
    def quiet_fed(self) -> Fed:
        """One step of the usual input together with the state before it, under the keys `state.0`, `state.1`, ..."""
        if not self.stochastic:
            return self.fed
        one = self.fed.take("T", torch.tensor([FROM]))
        before = at_time(self.trace.posterior, FROM - 1)
        states = {f"state.{i}": x for i, x in enumerate(before)}
        axes = {k: "BA" if self.per_agent(x, 1) else "B" for k, x in states.items()}
        return Fed({**one.values, **states}, {**one.axes, **axes})

    def read_quietly(self, module: Any, fed: Fed) -> Readings:
        if not self.stochastic:
            return self.read(module, fed)
        parts = [fed.values[f"state.{i}"] for i in range(len(self.trace.posterior))]
        state = type(self.trace.posterior)(*parts)
        trace = self.observe(module, fed, state=state)
        actions, exists = fed.values.get(IMAGINED), fed.exists
        now = None if exists is None else exists[:, 0]
        imagined = module.imagine(state, 1, actions, exists=now, generator=generator(7, device_of(fed)))
        return {
            **self.belief(module, trace.posterior, "posterior", "BT", exists, quiet=True),
            **self.belief(module, trace.prior, "prior", "BT", exists, quiet=True),
            **self.belief(module, imagined, "imagined", "BSH", None if now is None else now[:, None, None], quiet=True),
        }
