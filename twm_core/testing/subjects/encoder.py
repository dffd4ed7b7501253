"""Encoders: fed with batches of traffic (all features, motion only) and of sensors without agents (images, vectors, labels)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any

import torch

from twm_core.specs import EncoderSpecs, ObservationSpec
from twm_core.testing.batches import AGENTS, BATCH, STEPS, Fed, mapped_traffic, observation_specs, synthetic
from twm_core.testing.readings import Reading, Readings
from twm_core.testing.subjects.base import ModuleSubject, Situation


def _ask(obs_spec: ObservationSpec, config: Any) -> EncoderSpecs:
    return EncoderSpecs(obs_spec=obs_spec, embedding=config.embedding(obs_spec))


class EncoderSubject(ModuleSubject):
    """An encoder that sees one observation spec."""

    specs: EncoderSpecs

    @staticmethod
    def situations() -> Iterator[Situation]:
        for title, obs_spec in (*observation_specs().items(), ("traffic with a map", mapped_traffic())):
            yield Situation(title, partial(_ask, obs_spec))

    @cached_property
    def fed(self) -> Fed:
        return self.feed()

    def feed(self, *, seed: int = 0, pattern: Any = "ragged") -> Fed:
        return synthetic(self.specs.obs_spec, seed=seed, pattern=pattern)

    def read(self, module: Any, fed: Fed, *, seed: int | None = 7) -> Readings:
        embedding = module(dict(fed.values))
        readings = {}
        if embedding.scene is not None:
            readings["scene"] = Reading(embedding.scene, "BT")
        if embedding.agents is not None:
            readings["agents"] = Reading(embedding.agents, "BTA", fed.exists)
        return readings

    def expected(self) -> dict[str, list[int]]:
        widths = {"scene": ([BATCH, STEPS], self.specs.embedding.scene), "agents": ([BATCH, STEPS, AGENTS], self.specs.embedding.agents)}
        return {k: [*lead, width] for k, (lead, width) in widths.items() if width is not None}

    def collect(self, module: Any) -> None:
        with torch.no_grad():
            module.collect_statistics(dict(self.fed.values))
