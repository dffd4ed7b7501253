"""Decoders: fed with scene features, agent features or both, anchored at the situation one step before, for traffic and for sensors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Anchor, Embedding, Features
from twm_core.specs import DecoderSpecs, EmbeddingSpec, LatentSpec, ObservationSpec
from twm_core.testing.batches import AGENTS, BATCH, EXISTS, STEPS, Fed, observation_specs, synthetic
from twm_core.testing.readings import Reading, Readings
from twm_core.testing.subjects.base import ModuleSubject, Situation

LATENTS = {
    "scene features": LatentSpec(layout="scene", width=12),
    "agent features": LatentSpec(layout="agents", width=10),
    "scene and agent features": LatentSpec(layout="both", width=10, scene_width=12),
}
SENSED = {
    "deterministic and stochastic scene features": LatentSpec(
        layout="scene", width=28, family="categorical", deter=16, groups=3, classes=4
    ),
}
"""More latents for decoders of sensors, some of which read the deterministic part by itself."""
SAMPLES = 2


TOKENS = 9
"""Width of the tokens that decoders of whole futures may read."""


def _ask(latent: LatentSpec, obs_spec: ObservationSpec, config: Any) -> DecoderSpecs:
    embedding = EmbeddingSpec(scene=TOKENS, agents=TOKENS if obs_spec.has(EXISTS) else None)
    output = config.output(latent, obs_spec)
    config.takes(embedding)
    return DecoderSpecs(latent=latent, obs_spec=obs_spec, output=output, embedding=embedding)


class DecoderSubject(ModuleSubject):
    """A decoder that reads one latent spec, for a dataset with one observation spec."""

    specs: DecoderSpecs

    @staticmethod
    def situations() -> Iterator[Situation]:
        for kind, obs_spec in observation_specs().items():
            for name, latent in (LATENTS if obs_spec.has(EXISTS) else {**LATENTS, **SENSED}).items():
                if latent.agents is None or obs_spec.has(EXISTS):
                    yield Situation(f"{name}, {kind}", partial(_ask, latent, obs_spec))

    @cached_property
    def fed(self) -> Fed:
        return self.feed()

    def feed(self, *, seed: int = 0, pattern: Any = "ragged") -> Fed:
        """Features `[B,T,...]` and, under `anchor.*`, the situation one step before each of them."""
        source = torch.Generator().manual_seed(100 + seed)
        latent, batch = self.specs.latent, synthetic(self.specs.obs_spec, seed=seed, pattern=pattern)
        values: dict[str, Tensor] = {"anchor.dt": batch.values["dt"].reshape(BATCH, 1).expand(BATCH, STEPS).clone()}
        if latent.scene is not None:
            values["features.scene"] = torch.randn((BATCH, STEPS, latent.scene), generator=source)
            values["rollout.scene"] = torch.randn((BATCH, STEPS, latent.scene), generator=source)
        if latent.agents is not None:
            values["features.agents"] = torch.randn((BATCH, STEPS, AGENTS, latent.agents), generator=source)
            values["rollout.agents"] = torch.randn((BATCH, STEPS, AGENTS, latent.agents), generator=source)
        if "agents.state" in batch.values:
            values["anchor.state"] = batch.values["agents.state"]
            values[EXISTS] = batch.values[EXISTS]
        values["tokens.scene"] = torch.randn((BATCH, STEPS, TOKENS), generator=source)
        if "agents.state" in batch.values:
            values["tokens.agents"] = torch.randn((BATCH, STEPS, AGENTS, TOKENS), generator=source)
        axes = {
            "tokens.scene": "BTD",
            "tokens.agents": "BTAD",
            "features.scene": "BTD",
            "features.agents": "BTAD",
            "anchor.dt": "BT",
            "anchor.state": "BTAF",
            EXISTS: "BTA",
        }
        axes.update({"rollout.scene": "BTD", "rollout.agents": "BTAD"})
        return Fed(values, axes, held={"rollout.agents": 0}, finite=frozenset({"features.agents", "rollout.agents"}))

    @staticmethod
    def split(fed: Fed) -> tuple[Features, Anchor | None]:
        """An input as the arguments of `forward`."""
        v = fed.values
        anchor = Anchor(v["anchor.state"], v[EXISTS], v["anchor.dt"]) if "anchor.state" in v else None
        return Features(v.get("features.scene"), v.get("features.agents")), anchor

    def decode(self, module: Any, fed: Fed) -> dict[str, Distribution]:
        """`forward` of an input."""
        return module(*self.split(fed))

    def roll(self, module: Any, fed: Fed, *, samples: int = SAMPLES) -> dict[str, Distribution]:
        """`rollout` of `S` futures, of which the second has the features of the first negated, from the first anchor."""
        _, anchor = self.split(fed)
        parts = (fed.values.get("rollout.scene"), fed.values.get("rollout.agents"))
        futures = Features(*(None if x is None else torch.stack([x, -x][:samples], dim=1) for x in parts))
        return module.rollout(futures, None if anchor is None else Anchor(*(x[:, 0] for x in anchor)))

    def ahead(self, module: Any, fed: Fed, *, steps: int | None = None) -> dict[str, Distribution]:
        """Whole futures from what is known at the first step."""
        features, anchor = self.split(fed)
        tokens = Embedding(fed.values["tokens.scene"][:, 0], fed.values["tokens.agents"][:, 0] if "tokens.agents" in fed.values else None)
        known = Features(*(None if x is None else x[:, 0] for x in features))
        start = None if anchor is None else Anchor(*(x[:, 0] for x in anchor))
        return module.ahead(tokens, known, start, self.specs.obs_spec.horizon if steps is None else steps)

    def per_agent(self, key: str) -> bool:
        """Whether a decoded key has an axis of agents."""
        return "A" in self.specs.obs_spec.get(key).axes if self.specs.obs_spec.has(key) else key.startswith("agents.")

    def tell(self, decoded: dict[str, Distribution], name: str, lead: str, exists: Tensor | None) -> Readings:
        """Mean of every distribution, log-probability of its (fixed) mode, and error of its (fixed) mean shifted by one half."""
        readings: Readings = {}
        for key, distribution in decoded.items():
            axes, mask = (lead + "A", exists) if self.per_agent(key) else (lead, None)
            mean = distribution.mean
            readings[f"{name}, mean of {key}"] = Reading(mean, axes, mask)
            readings[f"{name}, log_prob of {key}"] = Reading(distribution.log_prob(distribution.mode.detach()), axes, mask)
            readings[f"{name}, error of {key}"] = Reading(distribution.error(mean.detach() + 0.5), axes, mask)
        return readings

    def read(self, module: Any, fed: Fed, *, seed: int | None = 7) -> Readings:
        exists = fed.exists
        start = None if exists is None else exists[:, 0][:, None, None]
        return {
            **self.tell(self.decode(module, fed), "forward", "BT", exists),
            **self.tell(self.roll(module, fed), "rollout", "BSH", start),
            **self.tell(self.ahead(module, fed), "ahead", "BSH", start),
        }

    def value_shape(self, key: str, lead: list[int]) -> list[int]:
        """Shape of a value of a decoded key with leading axes `lead`."""
        output = self.specs.output.get(key)
        agents = [AGENTS] if self.per_agent(key) else []
        if output.features:
            return [*lead, *agents, len(output.features)]
        return [*lead, *agents, *(self.specs.obs_spec.get(key).shape if self.specs.obs_spec.has(key) else ())]

    def expected(self) -> dict[str, list[int]]:
        leads = {"forward": [BATCH, STEPS], "rollout": [BATCH, SAMPLES, STEPS]}
        steps, whole = self.keys(ahead=False), self.keys(ahead=True)
        promised = {f"{n}, mean of {k}": self.value_shape(k, lead) for n, lead in leads.items() for k in steps}
        return {**promised, **{f"ahead, mean of {k}": self.value_shape(k, [BATCH, 1, self.specs.obs_spec.horizon]) for k in whole}}

    def keys(self, *, ahead: bool) -> list[str]:
        """The keys that are decoded step by step, or those decoded ahead."""
        return [k.key for k in self.specs.output.keys if k.ahead is ahead]

    def collect(self, module: Any) -> None:
        with torch.no_grad():
            module.collect_statistics(dict(synthetic(self.specs.obs_spec).values))
