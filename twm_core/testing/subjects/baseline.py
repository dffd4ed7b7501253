"""Baselines: fitted on a few made-up windows, then asked for futures of batches that end with the last observed step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any, NamedTuple

import torch

from twm_core.evaluation.forecast import Forecast
from twm_core.specs import BaselineSpecs, ForecastSpec, ObservationSpec
from twm_core.testing.batches import BATCH, EXISTS, Fed, mapped_traffic, observation_specs, synthetic
from twm_core.testing.readings import Reading, Readings
from twm_core.testing.subjects.base import Situation, Subject
from twm_core.testing.tolerance import numbers
from twm_core.testing.windows import SyntheticWindows

SAMPLES = 4
FURTHER = 4
"""Predicted steps that are asked for: more than the protocol's two, so that nobody counts on those."""


class Asked(NamedTuple):
    """What `build` is given, and what the config says its forecasts hold."""

    specs: BaselineSpecs
    gives: ForecastSpec


def _ask(obs_spec: ObservationSpec, config: Any) -> Asked:
    refused = config.accepts(obs_spec)
    if refused is not None:
        raise refused
    return Asked(BaselineSpecs(obs_spec=obs_spec), config.gives(obs_spec))


class BaselineSubject(Subject):
    """A baseline that sees one observation spec; the shared instance is fitted."""

    specs: Asked

    @staticmethod
    def situations() -> Iterator[Situation]:
        for title, obs_spec in (*observation_specs().items(), ("traffic with a map", mapped_traffic())):
            yield Situation(title, partial(_ask, obs_spec))

    @property
    def handed(self) -> BaselineSpecs:
        return self.specs.specs

    @property
    def obs_spec(self) -> ObservationSpec:
        """What batches hold."""
        return self.specs.specs.obs_spec

    @cached_property
    def instance(self) -> Any:
        return self.fitted()

    def fitted(self) -> Any:
        """A fresh instance that has seen the training windows."""
        built = self.build()
        with torch.random.fork_rng(devices=[]):
            built.fit(SyntheticWindows(self.obs_spec))
        return built

    def feed(self, *, seed: int = 0, pattern: Any = "ragged") -> Fed:
        """The observed steps of made-up windows, without target keys."""
        whole = synthetic(self.obs_spec, seed=seed, pattern=pattern)
        cut = whole.take("T", torch.arange(self.obs_spec.context))
        return cut.without(k.key for k in self.obs_spec.keys if k.role == "target")

    @cached_property
    def fed(self) -> Fed:
        """The usual input."""
        return self.feed()

    @cached_property
    def summands(self) -> int:
        """How many numbers go into a forecast at most: the observed steps of one row."""
        return numbers(self.fed.values.values()) // BATCH

    def forecast(self, forecaster: Any, fed: Fed, *, samples: int = SAMPLES, steps: int = FURTHER, seed: int = 7) -> Forecast:
        """Futures of the batch, with a generator seeded by `seed`."""
        with torch.no_grad():
            return forecaster.forecast(dict(fed.values), steps=steps, samples=samples, generator=torch.Generator().manual_seed(seed))

    def read(self, forecaster: Any, fed: Fed, *, samples: int = SAMPLES, steps: int = FURTHER, seed: int = 7) -> Readings:
        """Everything that a forecast says of agents that are there at the last observed step.

        The log-density is read half a metre beside the mean.
        """
        found = self.forecast(forecaster, fed, samples=samples, steps=steps, seed=seed)
        there = fed.values[EXISTS][:, -1]
        readings = {"states": Reading(found.states, "BSHA", there[:, None, None])}
        if found.weights is not None:
            readings["weights"] = Reading(found.weights, "BSA", there[:, None])
        if found.expected is not None:
            readings["expected"] = Reading(found.expected, "BHA", there[:, None])
        if found.exists is not None:
            readings["exists"] = Reading(found.exists, "BSHA", there[:, None, None])
        if found.log_density is not None:
            readings["log_density"] = Reading(found.log_density(found.mean() + 0.5), "BHA", there[:, None])
        return readings

    def use(self) -> None:
        self.read(self.instance, self.fed)

    @cached_property
    def usual(self) -> Readings:
        """What the shared instance says of the usual input."""
        return self.read(self.instance, self.fed)
