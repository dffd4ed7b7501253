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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import twm_core
from twm_core.errors import PluginError
from twm_core.plugin.discovery import Plugin, canonical

PLUGINS = "plugins"
"""Name of the table."""


def matches(item: str, *, distribution: str, name: str) -> bool:
    """Whether an item of a list means the plugin called `name` of a (normalized) distribution."""
    left, colon, right = item.rpartition(":")
    if colon:
        return canonical(left) == distribution and right == name
    return item in ("*", name) or canonical(item) == distribution


@dataclass(frozen=True)
class PluginLists:
    """The table `plugins` of one recipe.

    Attributes:
        require: Distributions that must be installed, with versions.
        block: Plugins that must not be imported.
        allow: If there are any: no other plugin may be imported.
        origins: Where each of these fields comes from, for messages.
    """

    require: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    def items(self, name: str) -> list[tuple[str, str]]:
        """The items of `block` or `allow`, each with the place that names it."""
        return [(item, f"{PLUGINS}.{name} in {self.origins[name]}") for item in getattr(self, name)]


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
