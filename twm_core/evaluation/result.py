"""An evaluation: who was scored on what, every score with its interval, and what makes it comparable with another.

Scores come from sums of units by the metric itself, so that one pass over the windows serves values, intervals, skills and later paired
comparisons alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twm_core.evaluation.bootstrap import LEVEL, RESAMPLES, Ints, cluster_sums, interval, resampled
from twm_core.evaluation.components import metric_config, named_scores
from twm_core.evaluation.engine import Candidate, Scored
from twm_core.evaluation.interfaces import Floats, Metric
from twm_core.evaluation.protocol import Protocol
from twm_core.recipe.chosen import Chosen
from twm_core.specs import ObservationSpec, Score

REFERENCE = "constant-velocity"
"""The baseline that skills are relative to."""

FEWEST_SCENARIOS = 10
"""Fewer scenarios than this say too little about how scenarios differ: then windows are resampled."""


@dataclass(frozen=True)
class Evaluation:
    """Scored forecasters and what they were scored on.

    Attributes:
        entrants: The forecasters, the one of interest first.
        scored: Sums of units.
        metrics: The chosen metrics by name.
        protocol: What was fixed.
        obs_spec: Spec of the windows.
        seed: Seed of futures and of resampling.
    """

    candidates: Sequence[Candidate]
    scored: Scored
    metrics: Mapping[str, Chosen]
    protocol: Protocol
    obs_spec: ObservationSpec
    seed: int

    @property
    def scores(self) -> dict[str, tuple[str, Score]]:
        """Metric and meaning of every score, by the name that it has in results."""
        of = {name: metric_config(chosen).scores(self.obs_spec, self.protocol.samples) for name, chosen in self.metrics.items()}
        names = named_scores(of)
        return {names[metric, score.name]: (metric, score) for metric, scores in of.items() for score in scores}

    def metric(self, candidate: str, name: str) -> Metric | None:
        """The metric as it was built for an entrant; None where it does not fit."""
        return next(e for e in self.candidates if e.name == candidate).metrics.get(name)

    def over(self, metric: str) -> str:
        """`agents` or `windows`."""
        return metric_config(self.metrics[metric]).over

    def unit(self, over: str) -> str:
        """What is resampled together: `vehicle`, `scenario` or `window`."""
        if over == "agents":
            return "vehicle"
        return "scenario" if len(np.unique(self.scored.scenario)) >= FEWEST_SCENARIOS else "window"

    def clusters(self, over: str) -> Ints:
        """Number of the cluster of each unit."""
        return {"vehicle": self.scored.vehicle, "scenario": self.scored.scenario, "window": self.scored.window}[self.unit(over)]

    def comparable(self) -> dict[str, Any]:
        """All that two evaluations must share for their numbers to be comparable, in words for messages."""
        return {
            **protocol_parts(self.protocol),
            "windows": f"{len(self.scored.window)} (sha256 {hashlib.sha256(self.scored.window.tobytes()).hexdigest()[:16]})",
            "data": self.scored.digest,
            "told the actions": any(e.conditional for e in self.candidates),
        }

    def summary(self) -> dict[str, Any]:
        """Everything, JSON-able.

        Returns:
            `forecasters` by name, each with `kind`, `whose`, `conditional`, `scores` (score to value), `intervals` (score to low and
            high), `skill` (score to `value` and `interval`, relative to constant velocity), `curves` (title to `Curve`); `scores` (name
            to `metric`, `unit`, `better`, `at`, `over`); `clusters` (by `over`: `unit` and how many were `resampled`); `metrics`,
            `comparable`, `windows`, `agents`.
        """
        named = self.scores
        values, draws = self._values()
        forecasters: dict[str, Any] = {}
        for candidate in self.candidates:
            mine, drawn = values[candidate.name], draws[candidate.name]
            forecasters[candidate.name] = {
                "kind": candidate.kind,
                "whose": candidate.whose,
                "conditional": candidate.conditional,
                "scores": mine,
                "intervals": {n: interval(d) for n, d in drawn.items()},
                "skill": {
                    n: {"value": skill(mine[n], values[REFERENCE][n]), "interval": interval(skills(drawn[n], draws[REFERENCE][n]))}
                    for n in mine
                    if n in values.get(REFERENCE, {}) and has_skill(named[n][1])
                },
                "curves": self._curves(candidate),
            }
        return {
            "forecasters": forecasters,
            "scores": {
                n: {"metric": m, "unit": s.unit, "better": s.better, "at": s.at, "over": self.over(m)} for n, (m, s) in named.items()
            },
            "clusters": {
                over: {"unit": self.unit(over), "resampled": len(np.unique(self.clusters(over))), "level": LEVEL, "resamples": RESAMPLES}
                for over in ("agents", "windows")
            },
            "metrics": {name: chosen.fields for name, chosen in self.metrics.items()},
            "comparable": self.comparable(),
            "windows": len(self.scored.window),
            "agents": len(self.scored.vehicle),
        }

    def draws(self, metric: str, candidates: Sequence[str]) -> dict[str, Floats]:
        """Resampled sums `[R,K]` of a metric for some entrants, all from the same draws."""
        return resampled_together({e: self.scored.sums[e][metric] for e in candidates}, self.clusters(self.over(metric)), self.seed)

    def _curves(self, candidate: Candidate) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for name, metric in candidate.metrics.items():
            for title, curve in metric.curves(self.scored.sums[candidate.name][name].sum(axis=0)).items():
                found[title] = {n: v if isinstance(v, str) else v.tolist() for n, v in curve._asdict().items()}
        return found

    def _values(self) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, Floats]]]:
        """Each score of each entrant, and its resamples `[R]`."""
        values: dict[str, dict[str, float]] = {e.name: {} for e in self.candidates}
        draws: dict[str, dict[str, Floats]] = {e.name: {} for e in self.candidates}
        names = {(metric, score.name): name for name, (metric, score) in self.scores.items()}
        for metric in self.metrics:
            fits = [e for e in self.candidates if metric in e.metrics]
            drawn = self.draws(metric, [e.name for e in fits])
            for candidate in fits:
                finish = candidate.metrics[metric].finish
                for score, value in finish(self.scored.sums[candidate.name][metric].sum(axis=0)).items():
                    values[candidate.name][names[metric, score]] = float(value)
                for score, found in finish(drawn[candidate.name]).items():
                    draws[candidate.name][names[metric, score]] = found
        return values, draws


def protocol_parts(protocol: Protocol) -> dict[str, Any]:
    """What a protocol fixes, part by part, in words for messages, and its hash."""
    return {
        "protocol": protocol.name,
        "dataset": protocol.dataset,
        "options of the dataset": dict(protocol.options),
        "split": protocol.split,
        "samples": protocol.samples,
        "metrics of the protocol": {k: dict(v) for k, v in protocol.metrics.items()},
        "protocol hash": protocol.hash,
    }


def resampled_together(sums: Mapping[str, Floats], cluster: Ints, seed: int) -> dict[str, Floats]:
    """Resampled sums `[R,K]` of several forecasters `[U,K]` over the same units, from the same draws.

    With fewer than two clusters nothing can be said about how they differ: one resample of nothing, whose scores are not known.
    """
    if not sums:
        return {}
    if len(np.unique(cluster)) < 2:
        return {name: np.zeros((1, part.shape[1])) for name, part in sums.items()}
    every = cluster_sums(np.concatenate([*sums.values()], axis=1), cluster)
    drawn = resampled(every, seed=seed)
    edges = np.cumsum([part.shape[1] for part in sums.values()])[:-1]
    return dict(zip(sums, np.split(drawn, edges, axis=1), strict=True))


def has_skill(score: Score) -> bool:
    """Whether a ratio of two such scores means something: amounts that are better when smaller, but no likelihoods."""
    return score.better == "lower" and score.unit != "nats"


def skill(value: float, reference: float) -> float:
    """1 - value / reference; NaN where the reference makes no error to fall below."""
    return 1 - value / reference if reference > 0 else float("nan")


def skills(values: Floats, reference: Floats) -> Floats:
    """The same for resamples `[R]`."""
    known = reference > 0
    return np.where(known, 1 - values / np.where(known, reference, 1.0), np.nan)
