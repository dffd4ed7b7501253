"""Metrics, baselines and protocols by name: found in the registry, configured with checked options, and built. Torch-free until built.

Options carry the name of their component: `baseline.kalman.model`, `metric.miss-rate.radius`, `protocol.ethucy-sgan.fold`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import ValidationError

from twm_core.config import ComponentConfig
from twm_core.errors import PluginError, UsageError
from twm_core.kinds import KINDS
from twm_core.kinds.baseline import BaselineConfig
from twm_core.kinds.metric import MetricConfig
from twm_core.references import load_reference
from twm_core.registry import Registered, Registry
from twm_core.scoring.protocol import Protocol
from twm_core.specs import Score
from twm_core.suggest import did_you_mean

OPTIONS = ("baseline", "metric", "protocol")
"""Kinds whose options an evaluation takes, beside those of the recipe."""


@dataclass(frozen=True)
class Chosen:
    """A component that somebody chose, with its config.

    Attributes:
        name: Its own name; with that of its distribution where another one has the same, unless a declaration means it by the bare name.
        registered: Where it comes from.
        config: Its validated config.
    """

    name: str
    registered: Registered
    config: ComponentConfig

    @property
    def whose(self) -> str:
        """Kind, name, distribution and version."""
        return self.registered.whose

    @property
    def fields(self) -> dict[str, Any]:
        """What decides its numbers, JSON-able: where it comes from, and its config."""
        return {"component": self.registered.qualified, "config": self.config.model_dump(mode="json")}

    def build(self, given: Any) -> Any:
        """The component.

        Raises:
            PluginError: `build` returned something that is not of the kind's interface.
        """
        built = self.registered.load_build()(self.config, given)
        interface = load_reference(KINDS[self.registered.component.kind].interface)
        if not isinstance(built, interface):
            raise PluginError(f"{self.whose}: build returned {type(built).__name__}, not a {interface.__name__}", "return one")
        return built


def choose(registry: Registry, kind: str, name: str, options: Mapping[str, Any] | None = None, *, own: str | None = None) -> Chosen:
    """The component of this kind and name, with these fields.

    Args:
        registry: Installed components.
        kind: Their kind.
        name: Bare or qualified.
        options: Fields of its config.
        own: See `Registry.find`.

    Raises:
        UsageError: It has no such field, or a value is impossible.
        UnknownComponentError: It is not installed.
    """
    registered = registry.find(kind, name, own=own)
    config = registered.load_config()
    try:
        found = config.model_validate(dict(options or {}))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            path, field = ".".join((kind, name, *map(str, problem["loc"]))), str(problem["loc"][0]) if problem["loc"] else ""
            if problem["type"] == "extra_forbidden":
                lines.append(f"{path}: {registered.whose} has no field {field!r}{did_you_mean(field, config.model_fields)}")
            else:
                lines.append(f"{path} = {problem.get('input')!r}: {problem['msg']}")
        fields = ", ".join(config.model_fields) or "none"
        raise UsageError("\n".join(lines), f"fields of {registered.whose}: {fields}") from error
    return Chosen(shown_name(registry, registered, own), registered, found)


def shown_name(registry: Registry, registered: Registered, own: str | None = None) -> str:
    """The bare name of a component where it means this one, else the qualified name.

    Args:
        registry: Installed components.
        registered: The component.
        own: See `Registry.find`.
    """
    kind, bare = registered.component.kind, registered.component.name
    meant = not registry.shared(kind, bare) or (own is not None and registry.find(kind, bare, own=own) == registered)
    return bare if meant else registered.qualified


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
