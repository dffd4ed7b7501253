"""The base of every component's config: pydantic, closed, frozen, every field with a default and a description.

A config is torch-free. Beside its fields it has the pure method of its kind that maps specs to specs; the bases that declare
those methods stand in `twm_core.kinds`, one file per kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from twm_core.errors import PluginError, UsageError
from twm_core.suggest import did_you_mean

RESERVED_FIELDS = frozenset({"component"})
"""Field names that a config may not use, because a recipe file needs the word."""


class ComponentConfig(BaseModel):
    """Base of all component configs."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), defer_build=True)


def check_config_class(config: Any, base: type[ComponentConfig], whose: str) -> type[ComponentConfig]:
    """Check that `config` keeps the rules for configs and return it.

    Args:
        config: The object that the component's `config` string points to.
        base: The config base of the component's kind.
        whose: Component, distribution and version, for the message.

    Raises:
        PluginError: It is not a subclass of the base, is mutable or open, or a field lacks default or description.
    """
    if not (isinstance(config, type) and issubclass(config, base)):
        raise PluginError(f"{whose}: config {config!r} is not a subclass of {base.__name__}", f"derive it from twm_core.{base.__name__}")
    if config.model_config.get("extra") != "forbid" or not config.model_config.get("frozen"):
        raise PluginError(f"{whose}: config {config.__name__} must keep extra='forbid' and frozen=True", "do not override model_config")
    for name, field in config.model_fields.items():
        if name in RESERVED_FIELDS:
            raise PluginError(f"{whose}: config field {name!r} is a reserved word", "rename the field")
        if field.is_required() or not field.description:
            raise PluginError(f"{whose}: config field {name!r} needs a default and a description", "use Field(default, description=...)")
    return config


C = TypeVar("C", bound=ComponentConfig)


def validate_config(
    config: type[C],
    values: Mapping[str, Any],
    *,
    prefix: str,
    whose: str,
    origin: Callable[[str], str] | None = None,
    hint: str | None = None,
) -> C:
    """A config with these values.

    Args:
        config: Its class.
        values: Fields by name.
        prefix: How users write a field, without its name: `dataset.`, `--reader.`.
        whose: Component or table, for messages.
        origin: Gives the origin of a value by its path, for messages.
        hint: The hint of the error; the names of the fields by default.

    Raises:
        UsageError: A field does not exist or a value is not allowed. Every such value is named, with its origin.
    """
    try:
        return config.model_validate(dict(values))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field, message = str(next(iter(problem["loc"]), "")), problem["msg"].removeprefix("Value error, ")
            path = prefix + ".".join(map(str, problem["loc"]))
            # A rule over several fields has no location; its message has the values.
            paths = [prefix + field] if field else [prefix + name for name in values]
            origins = f" (from {', '.join(sorted({origin(p) for p in paths}) or ['default'])})" if origin is not None else ""
            if not field:
                lines.append(f"{prefix.rstrip('.') if origin is not None else whose}{origins}: {message}")
            elif problem["type"] == "extra_forbidden":
                lines.append(f"{path}{origins}: {whose} has no field {field!r}{did_you_mean(field, config.model_fields)}")
            else:
                lines.append(f"{path} = {problem.get('input')!r}{origins}: {message}")
        raise UsageError("\n".join(lines), hint or f"fields of {whose}: {', '.join(config.model_fields) or 'none'}") from error
