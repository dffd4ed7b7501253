"""Metrics: fed with made-up windows and with forecasts around what happened in them.

The positions that are forecast are the truth plus `deviation` metres times noise; at 0 the forecast is perfect. Agents come and go: some
leave while they are predicted, some are seen only once, and a few slots are empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from twm_core.data.scenario import Lane, RoadMap
from twm_core.data.schema import MOTION, TRAFFIC_FEATURES, traffic_observations
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Floats
from twm_core.specs import ForecastSpec, MetricSpecs, ObservationSpec, Score
from twm_core.testing.batches import BATCH, EXISTS, Fed, synthetic
from twm_core.testing.subjects.base import Situation, Subject
from twm_core.testing.tolerance import numbers

DT = 0.5
CONTEXT, HORIZON = 3, 5
"""Steps: enough for differences of differences, and for a score at 1 s and at 2 s."""

SAMPLES = 4
FORECASTS = {
    "one future of positions": (ForecastSpec(), 1),
    "several futures of positions": (ForecastSpec(several=True), SAMPLES),
    "several futures of motion, existence, weights and density": (
        ForecastSpec(states=MOTION, exists=True, several=True, density=True),
        SAMPLES,
    ),
}


class Asked(NamedTuple):
    """What `build` is given, and the scores that the config names."""

    specs: MetricSpecs
    scores: tuple[Score, ...]


def _ask(obs_spec: ObservationSpec, forecast: ForecastSpec, samples: int, config: Any) -> Asked:
    refused = config.accepts(obs_spec, forecast)
    if refused is not None:
        raise refused
    return Asked(MetricSpecs(obs_spec=obs_spec, forecast=forecast, samples=samples), tuple(config.scores(obs_spec, samples)))


def _road() -> RoadMap:
    """Two lanes through the middle of the traffic, one each way, wide enough for a part of it."""
    line = np.stack([np.linspace(-60.0, 60.0, 13), np.zeros(13)], axis=1)
    aside = np.asarray([0.0, 10.0])
    lanes = (
        Lane(id="there", centre=line - aside, width=20.0, speed_limit=14.0),
        Lane(id="back", centre=line[::-1] + aside, width=20.0, speed_limit=14.0),
    )
    return RoadMap(lanes)


@dataclass(frozen=True)
class MetricFed:
    """A forecast and what happened, as tensors with axis letters, and the road map of each window."""

    tensors: Fed
    maps: tuple[RoadMap | None, ...]

    def take(self, axis: str, index: Tensor) -> MetricFed:
        """Entries `index` of an axis."""
        maps = tuple(self.maps[i] for i in index.tolist()) if axis == "B" and self.maps else self.maps
        return MetricFed(self.tensors.take(axis, index), maps)

    def put(self, **values: Tensor) -> MetricFed:
        """With some tensors replaced."""
        return replace(self, tensors=self.tensors.put(**values))

    def without(self, *keys: str) -> MetricFed:
        """Without some tensors."""
        return replace(self, tensors=self.tensors.without(keys))

    def forecast(self) -> Forecast:
        """The forecast."""
        v = self.tensors.values
        density = None
        if "centre" in v:
            centre = v["centre"]

            def density(position: Tensor) -> Tensor:
                normal = torch.distributions.Normal(centre, 0.5, validate_args=False)
                return normal.log_prob(position).sum(dim=-1)

        return Forecast(
            states=v["forecast"],
            weights=v.get("weights"),
            expected=v.get("expected"),
            exists=v.get("forecast_exists"),
            log_density=density,
        )

    def truth(self, obs_spec: ObservationSpec) -> Truth:
        """What happened."""
        v = self.tensors.values
        return Truth(
            batch={k: x for k, x in v.items() if obs_spec.has(k)},
            features=tuple(f.name for f in obs_spec.get("agents.state").features),
            past=v["past"],
            past_exists=v["past_exists"],
            states=v["future"],
            here=v["here"],
            scored=v["scored"],
            vehicle=v["vehicle"],
            window=v["window"],
            scenario=v["of"],
            dt=obs_spec.dt,
            maps=self.maps,
        )


class MetricSubject(Subject):
    """A metric of one kind of forecast."""

    specs: Asked

    @staticmethod
    def situations() -> Iterator[Situation]:
        for title, features, lanes, raster in (
            ("traffic with motion only", MOTION, 0, 0),
            ("traffic with every feature", tuple(TRAFFIC_FEATURES), 6, 0),
            ("traffic with a map", MOTION, 0, 32),
        ):
            obs_spec = traffic_observations(
                features=features,
                dt=DT,
                context=CONTEXT,
                horizon=HORIZON,
                protocol="synthetic",
                lanes=lanes,
                sites=lanes,
                raster_size=raster,
            )
            for what, (forecast, samples) in FORECASTS.items():
                yield Situation(f"{title}; {what}", partial(_ask, obs_spec, forecast, samples))

    @property
    def handed(self) -> MetricSpecs:
        return self.specs.specs

    @property
    def obs_spec(self) -> ObservationSpec:
        """What batches hold."""
        return self.specs.specs.obs_spec

    @cached_property
    def over(self) -> str:
        """`agents` or `windows`."""
        return self.config.over  # pyrefly: ignore[missing-attribute]

    def feed(self, *, deviation: float = 0.7, pattern: Any = "ragged") -> MetricFed:
        """Windows, and a forecast that is off by `deviation`."""
        obs_spec, spec, samples = self.obs_spec, self.specs.specs.forecast, self.specs.specs.samples
        batch = synthetic(obs_spec, pattern=pattern, steps=CONTEXT + HORIZON)
        state, exists = batch.values["agents.state"], batch.values[EXISTS]
        now = obs_spec.context
        scored = exists[:, now - 1]
        batch = batch.put(agents__scored=scored)
        source = torch.Generator().manual_seed(5)
        here = exists[:, now:]
        columns = [obs_spec.get("agents.state").index(n) for n in spec.states]
        truth = state[:, now:][..., columns]
        # Where nobody is there is no truth to be near to: whatever is forecast stands about the middle.
        noise = torch.randn((BATCH, samples, *truth.shape[1:]), generator=source)
        off = torch.where(here[:, None, ..., None], deviation, 10.0)
        made = truth[:, None] + off * noise
        values: dict[str, Tensor] = {
            "forecast": made,
            "past": state[:, :now],
            "past_exists": exists[:, :now],
            "future": state[:, now:],
            "here": here,
            "scored": scored,
            "vehicle": torch.arange(exists.shape[2]).expand(BATCH, -1) + 100 * torch.arange(BATCH)[:, None],
            "window": torch.arange(BATCH) + 3,
            "of": torch.arange(BATCH) // 2,
        }
        axes = {"forecast": "BSHA", "past": "BCA", "past_exists": "BCA", "future": "BHA", "here": "BHA", "scored": "BA", "vehicle": "BA"}
        axes |= {"window": "B", "of": "B"}
        if spec.exists:
            odds = torch.rand((BATCH, samples, *here.shape[1:]), generator=source)
            values["forecast_exists"] = (1 - deviation) * here[:, None].float() + deviation * odds
            weights = torch.rand((BATCH, samples, exists.shape[2]), generator=source) + 0.1
            values["weights"] = weights / weights.sum(dim=1, keepdim=True)
            values["expected"] = (values["weights"][:, :, None, :, None] * made[..., :2]).sum(dim=1)
            axes |= {"forecast_exists": "BSHA", "weights": "BSA", "expected": "BHA"}
        if spec.density:
            values["centre"], axes["centre"] = made[..., :2].mean(dim=1), "BHA"
        tensors = Fed({**batch.values, **values}, {**batch.axes, **axes}, batch.classes)
        mapped = obs_spec.has("map.raster") or obs_spec.has("agents.lane")
        return MetricFed(tensors, (_road(), None, _road()) if mapped else ())

    @cached_property
    def fed(self) -> MetricFed:
        """The usual input."""
        return self.feed()

    @cached_property
    def summands(self) -> int:
        """How many numbers go into a sum at most: windows and forecast."""
        return numbers(self.fed.tensors.values.values())

    def sums(self, metric: Any, fed: MetricFed) -> Floats:
        """What the metric gives for each unit."""
        with torch.no_grad():
            return metric.sums(fed.forecast(), fed.truth(self.obs_spec))

    def use(self) -> None:
        self.sums(self.instance, self.fed)

    @cached_property
    def usual(self) -> Floats:
        """The sums of the usual input."""
        return self.sums(self.instance, self.fed)
