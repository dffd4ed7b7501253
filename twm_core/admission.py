"""Which plugins may be imported: the lists in the environment and the twm version that a distribution asks for.

Both are decided before a line of the plugin has run, so a plugin that hangs or crashes the interpreter can be shut out.

    TWM_DISABLE_PLUGINS=acme,acme-worlds:extra    blocks these; `*` blocks every installed plugin
    TWM_PLUGINS=rssm,losses                       blocks all others

An item is an entry point name, a distribution, or `distribution:name`. Files given with `-p` were asked for by name on the command
line and load in spite of either list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from twm_core.discovery import Found, Status, canonical

DISABLE = "TWM_DISABLE_PLUGINS"
ONLY = "TWM_PLUGINS"

_LEADING_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def refusal(found: Found, *, environ: Mapping[str, str], version: str) -> tuple[Status, str] | None:
    """Why `found` must not be imported, as status and reason; None when it may.

    Args:
        found: The entry point.
        environ: The environment with the two lists.
        version: The running version of twm.
    """
    disabled = [item for item in _items(environ, DISABLE) if _matches(item, found)]
    if disabled:
        return "blocked", f"{DISABLE} names {disabled[0]!r}"
    only = _items(environ, ONLY)
    if only and not any(_matches(item, found) for item in only):
        return "blocked", f"{ONLY} does not name it"
    if found.refused is not None:
        return found.refused
    return _requirement(found, version)


def unknown_names(every: Sequence[Found], environ: Mapping[str, str]) -> tuple[str, ...]:
    """A warning for each item of the two lists that names no installed plugin, with the closest names."""
    known = sorted({name for f in every for name in (f.name, f.distribution, f.key)})
    warnings = []
    for variable in (DISABLE, ONLY):
        for item in _items(environ, variable):
            if item != "*" and not any(_matches(item, f) for f in every):
                close = get_close_matches(item, known, n=1)
                remedy = f"did you mean {close[0]!r}?" if close else f"installed: {', '.join(known) or 'none'}"
                warnings.append(f"{variable} names {item!r}, which is no installed plugin; {remedy}")
    return tuple(warnings)


def _items(environ: Mapping[str, str], variable: str) -> list[str]:
    return [item.strip() for item in environ.get(variable, "").split(",") if item.strip()]


def _matches(item: str, found: Found) -> bool:
    distribution, colon, name = item.rpartition(":")
    if colon:
        return canonical(distribution) == found.distribution and name == found.name
    return item in ("*", found.name) or canonical(item) == found.distribution


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
            return "incompatible", f"{found.distribution} {found.version} requires twm{requirement.specifier}, this is twm {version}"
    return None
