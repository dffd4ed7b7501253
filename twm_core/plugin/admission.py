"""Which plugins may be imported: the lists in environment and recipes, and the twm version that a distribution asks for.

Both are decided before a line of the plugin has run, so a plugin that hangs or crashes the interpreter can be shut out.

    TWM_DISABLE_PLUGINS=acme,acme-worlds:extra    blocks these; `*` blocks every installed plugin
    TWM_PLUGINS=rssm,losses                       blocks all others

An item is an entry point name, a distribution, or `distribution:name`. Files given with `-p` were asked for by name on the command
line and load in spite of either list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twm_core.plugin.discovery import Found, Status, canonical
from twm_core.plugin.rules import PluginLists, matches
from twm_core.suggest import closest

DISABLE = "TWM_DISABLE_PLUGINS"
ONLY = "TWM_PLUGINS"
UPGRADE = "docs/plugins/upgrade-0.2.md"
"""The page that lists what a plugin of the minor version before has to change."""

_BEFORE = "0.1.0"

_LEADING_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class Rules:
    """Who may be imported: items with the place that named them.

    Attributes:
        blocked: None of these.
        allowed: Lists of which each, where it is not empty, must name a plugin.
    """

    blocked: tuple[tuple[str, str], ...] = ()
    allowed: tuple[tuple[tuple[str, str], ...], ...] = ()

    @classmethod
    def of(cls, environ: Mapping[str, str], lists: Sequence[PluginLists] = ()) -> Rules:
        """The rules of the environment and of recipes, which all hold at once."""
        blocked = (item for each in lists for item in each.items("block"))
        allowed = (tuple(each.items("allow")) for each in lists)
        return cls((*_items(environ, DISABLE), *blocked), (tuple(_items(environ, ONLY)), *allowed))

    def refusal(self, found: Found) -> tuple[Status, str] | None:
        """Status and reason where a plugin is shut out."""
        for item, place in self.blocked:
            if matches(item, distribution=found.distribution, name=found.name):
                return "blocked", f"{place} names {item!r}"
        for only in self.allowed:
            if only and not any(matches(item, distribution=found.distribution, name=found.name) for item, _ in only):
                return "blocked", f"{only[0][1]} does not name it"
        return None


def refusal(found: Found, *, rules: Rules, version: str) -> tuple[Status, str] | None:
    """Why `found` must not be imported, as status and reason; None when it may.

    Args:
        found: The entry point.
        rules: Who is shut out.
        version: The running version of twm.
    """
    shut_out = rules.refusal(found)
    if shut_out is not None:
        return shut_out
    if found.refused is not None:
        return found.refused
    return _requirement(found, version)


def unknown_names(every: Sequence[Found], rules: Rules) -> tuple[str, ...]:
    """A warning for each item of the lists that names no installed plugin, with the closest names."""
    known = sorted({name for f in every for name in (f.name, f.distribution, f.key)})
    warnings = []
    for item, place in (*rules.blocked, *(row for only in rules.allowed for row in only)):
        if item != "*" and not any(matches(item, distribution=f.distribution, name=f.name) for f in every):
            close = closest(item, known)
            remedy = f"did you mean {close!r}?" if close else f"installed: {', '.join(known) or 'none'}"
            warnings.append(f"{place} names {item!r}, which is no installed plugin; {remedy}")
    return tuple(warnings)


def _items(environ: Mapping[str, str], variable: str) -> list[tuple[str, str]]:
    return [(item.strip(), variable) for item in environ.get(variable, "").split(",") if item.strip()]


def _requirement(found: Found, version: str) -> tuple[Status, str] | None:
    for line in found.requires:
        name = _LEADING_NAME.match(line)
        if name is None or canonical(name[1]) != "twm":
            continue
        # Imported here because first-party plugins never come this far and packaging takes longer than the rest of discovery.
        from packaging.requirements import InvalidRequirement, Requirement

        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            return "broken", f"Requires-Dist {line!r} cannot be parsed: {' '.join(str(error).split())}"
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        # Pre-releases are allowed: whoever runs twm 0.2.0rc1 wants to know whether the plugin works with it.
        if applies and not requirement.specifier.contains(version, prereleases=True):
            reason = f"{found.distribution} {found.version} requires twm{requirement.specifier}, this is twm {version}"
            return "incompatible", f"{reason}; {UPGRADE} lists what has changed" if requirement.specifier.contains(_BEFORE) else reason
    return None
