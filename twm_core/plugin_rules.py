"""What a recipe says of plugins: the table `plugins`, which pins, blocks and allows them. Torch-free.

    [plugins]
    require = ["acme-worlds>=1.2,<2", "twm~=0.1"]     refused where one is missing or of another version
    block = ["acme-extras", "acme-worlds:debug"]      never imported; `*` blocks all
    allow = ["twm", "acme-worlds"]                    no other is imported

Items of `block` and `allow` are entry point names, distributions, or `distribution:name`, as in the variables `TWM_DISABLE_PLUGINS` and
`TWM_PLUGINS`, which hold as well. The recipe files and options that a command line names are read before any plugin is imported, so that
what they block never runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError, field_validator

import twm_core
from twm_core.config import ComponentConfig
from twm_core.discovery import Plugin, canonical
from twm_core.errors import PluginError, UsageError
from twm_core.suggest import did_you_mean

if TYPE_CHECKING:
    from twm_core.registry import Registered

PLUGINS = "plugins"
"""Name of the table."""


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


def matches(item: str, *, distribution: str, name: str) -> bool:
    """Whether an item of a list means the plugin called `name` of a (normalised) distribution."""
    left, colon, right = item.rpartition(":")
    if colon:
        return canonical(left) == distribution and right == name
    return item in ("*", name) or canonical(item) == distribution


@dataclass(frozen=True)
class Said:
    """What one recipe says of plugins.

    Attributes:
        config: The table `plugins`.
        origins: Where each of its fields comes from, for messages.
    """

    config: PluginsConfig
    origins: Mapping[str, str]

    def items(self, name: str) -> list[tuple[str, str]]:
        """The items of `block` or `allow`, each with the place that names it."""
        return [(item, f"{PLUGINS}.{name} in {self.origins[name]}") for item in getattr(self.config, name)]


def said_in(layers: Iterable[tuple[str, Mapping[str, Any]]]) -> Said:
    """What the layers of one recipe say of plugins, lowest first: of each field the last value counts, as for every value of a recipe.

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
    try:
        return Said(PluginsConfig.model_validate(values), origins)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            field = str(problem["loc"][0])
            path, where = ".".join((PLUGINS, *map(str, problem["loc"]))), f"(from {origins[field]})"
            if problem["type"] == "extra_forbidden":
                lines.append(f"{path} {where}: the table plugins has no field {field!r}{did_you_mean(field, PluginsConfig.model_fields)}")
            else:
                lines.append(f"{path} = {problem.get('input')!r} {where}: {problem['msg']}")
        raise UsageError("\n".join(lines), f'{PLUGINS}.block, allow and require are lists, for example block = ["acme-extras"]') from error


def check_pins(pins: Sequence[str], plugins: Sequence[Plugin], origin: str) -> None:
    """Check that every pinned distribution is installed in a version that its pin allows, and that its plugins loaded.

    Args:
        pins: Requirements, as `PluginsConfig` has checked them.
        plugins: Every discovered plugin.
        origin: Where the pins come from, for messages.

    Raises:
        PluginError: One does not hold; the hint is the line that installs it.
    """
    from packaging.requirements import Requirement

    for pin in pins:
        requirement = Requirement(pin)
        name = canonical(requirement.name)
        rows = [p for p in plugins if p.distribution == name]
        version = twm_core.__version__ if name == "twm" else rows[0].version if rows else None
        whose = f"plugins.require (from {origin}) asks for {pin}"
        if version is None:
            raise PluginError(f"{whose}, which is not installed or has no plugin", f'pip install "{pin}"')
        if not requirement.specifier.contains(version, prereleases=True):
            raise PluginError(f"{whose}, installed is {name} {version}", f'pip install "{pin}"')
        for row in rows:
            if row.status not in ("loaded", "blocked"):
                raise PluginError(f"{whose}, and its plugin {row.name} is {row.status}: {row.reason}", "mend or reinstall it")


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
