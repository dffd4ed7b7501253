"""Options of metrics, baselines and protocols, and the protocol of an evaluation. Torch-free until built.

Options carry the name of their component: `baseline.kalman.model`, `metric.miss-rate.radius`, `protocol.ethucy-sgan.fold`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from twm_core.errors import UsageError
from twm_core.evaluation.protocol import Protocol
from twm_core.kinds.baseline import BaselineConfig
from twm_core.kinds.metric import MetricConfig
from twm_core.plugin.registry import Registry
from twm_core.recipe.chosen import Chosen, choose
from twm_core.specs import Score
from twm_core.suggest import did_you_mean

OPTIONS = ("baseline", "metric", "protocol")
"""Kinds whose options an evaluation takes, beside those of the recipe."""


def metric_config(chosen: Chosen) -> MetricConfig:
    """The config of a chosen metric."""
    return cast(MetricConfig, chosen.config)


def baseline_config(chosen: Chosen) -> BaselineConfig:
    """The config of a chosen baseline."""
    return cast(BaselineConfig, chosen.config)


def choose_protocol(registry: Registry, name: str, options: Mapping[str, Any] | None = None) -> Protocol:
    """The protocol of this name, with these fields. It knows the distribution that declares it."""
    chosen = choose(registry, "protocol", name, options)
    return replace(cast(Protocol, chosen.build(chosen.name)), owner=chosen.registered.plugin.distribution)


def split_options(overrides: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
    """Options by dotted path, taken apart: those of the recipe, and those of baselines, metrics and protocols by kind, name and field.

    Raises:
        UsageError: A path of such a kind does not name a component and a field.
    """
    recipe: dict[str, Any] = {}
    others: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in OPTIONS}
    for path, value in overrides.items():
        kind, _, rest = path.partition(".")
        if kind not in OPTIONS:
            recipe[path] = value
            continue
        name, dot, field = rest.rpartition(".")
        if not dot:
            raise UsageError(f"--set {path}: options of a {kind} carry its name", f"write {kind}.NAME.FIELD")
        others[kind].setdefault(name, {})[field] = value
    return recipe, others


def refuse_unused(kind: str, options: Mapping[str, Any], used: Mapping[str, Any]) -> None:
    """Options of components that are not used are a mistake.

    Raises:
        UsageError: There are such.
    """
    for name, fields in options.items():
        if name not in used:
            field = next(iter(fields))
            raise UsageError(
                f"--set {kind}.{name}.{field}, but {kind} {name!r} is not used{did_you_mean(name, used)}",
                f"add --{kind} {name}, or remove the option",
            )


def named_scores(metrics: Mapping[str, tuple[Score, ...]]) -> dict[tuple[str, str], str]:
    """A name for each score that no other has: its own, or `metric.score` where a metric before it has taken that."""
    taken: dict[str, tuple[str, str]] = {}
    for metric, scores in metrics.items():
        for score in scores:
            taken.setdefault(score.name, (metric, score.name))
    return {
        (metric, score.name): score.name if taken[score.name] == (metric, score.name) else f"{metric}.{score.name}"
        for metric, scores in metrics.items()
        for score in scores
    }
