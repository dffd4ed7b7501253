"""The table `plugins` of a recipe: its fields, and whether the components of the recipe come from plugins that it allows. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import Field, field_validator

from twm_core.config import ComponentConfig, validate_config
from twm_core.errors import PluginError, UsageError
from twm_core.plugin.registry import Registered
from twm_core.plugin.rules import PLUGINS, PluginLists, matches


class PluginsConfig(ComponentConfig):
    """Fields of the table `plugins`."""

    require: tuple[str, ...] = Field((), description="Distributions that must be installed, with versions as pip spells them.")
    block: tuple[str, ...] = Field((), description="Plugins that must not be imported: names, distributions, distribution:name, or *.")
    allow: tuple[str, ...] = Field((), description="If there are any: no other plugin may be imported.")

    @field_validator("require")
    @classmethod
    def _parse(cls, pins: tuple[str, ...]) -> tuple[str, ...]:
        if not pins:
            return pins
        from packaging.requirements import InvalidRequirement, Requirement  # only for those who pin

        for pin in pins:
            try:
                parsed = Requirement(pin)
            except InvalidRequirement as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"{pin!r} is no requirement such as 'acme-worlds>=1.2,<2': {reason}") from error
            if parsed.url or parsed.extras or parsed.marker:
                raise ValueError(f"{pin!r}: a pin has a name and versions, nothing else")
        return pins


def plugin_lists(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> PluginLists:
    """The table `plugins` of the layers of one recipe, lowest first: the last value of a field counts, as for every value of a recipe.

    Args:
        layers: The origin and the values of each layer.

    Raises:
        UsageError: `plugins` is no table, or has an unknown field or an impossible value.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        table = layer.get(PLUGINS, {})
        if not isinstance(table, Mapping):
            raise UsageError(f"{origin}: {PLUGINS} must be a table, got {table!r}", "see the recipe format in the docs")
        values.update(table)
        origins.update(dict.fromkeys(table, origin))
    hint = f'{PLUGINS}.block, allow and require are lists, for example block = ["acme-extras"]'
    config = validate_config(
        PluginsConfig,
        values,
        prefix=f"{PLUGINS}.",
        whose="the table plugins",
        origin=lambda path: origins[path.removeprefix(f"{PLUGINS}.")],
        hint=hint,
    )
    return PluginLists(config.require, config.block, config.allow, origins)


def check_used(config: PluginsConfig, used: Iterable[Registered], origin: Callable[[str], str]) -> None:
    """Check that no component of a recipe comes from a plugin that the recipe blocks or does not allow.

    Args:
        config: The table.
        used: `Registered` components.
        origin: Where the value of a dotted path comes from, for messages.

    Raises:
        PluginError: One does.
    """
    for registered in used:
        plugin = registered.plugin
        blocked = [i for i in config.block if matches(i, distribution=plugin.distribution, name=plugin.name)]
        allowed = not config.allow or any(matches(i, distribution=plugin.distribution, name=plugin.name) for i in config.allow)
        if blocked:
            raise PluginError(
                f"{registered.whose}: plugins.block (from {origin(f'{PLUGINS}.block')}) names {blocked[0]!r}", "choose another component"
            )
        if not allowed:
            raise PluginError(
                f"{registered.whose}: plugins.allow (from {origin(f'{PLUGINS}.allow')}) does not name {plugin.distribution}:{plugin.name}",
                "choose another component, or allow it",
            )
