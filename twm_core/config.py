"""The base of every component's config: pydantic, closed, frozen, every field with a default and a description.

A config is torch-free. Beside its fields it has the pure method of its kind that maps specs to specs; the bases that declare
those methods stand in `twm_core.kinds`, one file per kind.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from twm_core.errors import PluginError

RESERVED_FIELDS = frozenset({"component"})
"""Field names that a config may not use, because a recipe file needs the word."""


class ComponentConfig(BaseModel):
    """Base of all component configs."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


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
