"""Which plugins are installed: the entry points of the group `twm`, read without importing any of them.

pluggy can load entry points by itself, but then one bad plugin stops the host, namesakes vanish without a word and nothing can be
refused before its code has run. So the walk over the installed distributions is ours. It yields one `Found` per entry point, in
the order (distribution, name); `twm_core.plugin.admission` decides which of them may be imported, `twm_core.plugin.loading` imports those,
and each ends as one `Plugin`: a row of `twm list-plugins`, whatever became of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions
from typing import Literal

from twm_core.component import Component
from twm_core.errors import PluginError
from twm_core.hooks import GROUP

Status = Literal["loaded", "blocked", "incompatible", "broken", "duplicate"]

_SECTION = re.compile(rf"^\s*\[\s*{GROUP}\s*\]", re.MULTILINE)
_TARGET = re.compile(r"\w+(\.\w+)*\s*(:\s*\w+(\.\w+)*\s*)?")


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One plugin and what became of it: a row of `twm list-plugins`.

    Attributes:
        name: Entry point name, or the file's stem for a one-file plugin.
        distribution: Normalized name of its distribution; `file` for a one-file plugin.
        version: Version of the distribution; a file's `__version__`, or `0` if it has none.
        value: Target of the entry point, or the path of the file.
        status: `loaded` is usable, everything else is not.
        reason: Why it did not load; for a loaded plugin a remark, or nothing.
        seconds: CPU time of importing it and asking for its components.
        heavy: Whether that brought in torch or numpy, which a declaration must not do.
        components: What it provides; empty unless loaded.
        sha256: That of the file of a one-file plugin; empty for others.
    """

    name: str
    distribution: str
    version: str
    value: str
    status: Status
    reason: str = ""
    seconds: float = 0.0
    heavy: bool = False
    components: tuple[Component, ...] = ()
    sha256: str = ""

    @property
    def whose(self) -> str:
        """Distribution and version, for messages: `acme-worlds 1.2`, or `file ./my_dynamics.py`."""
        return f"{self.distribution} {self.value if self.distribution == FILE else self.version}"


FILE = "file"
"""What stands in place of a distribution for a one-file plugin."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """An entry point that nobody has imported yet.

    Attributes:
        name: Entry point name.
        distribution: Normalized name of its distribution.
        version: Version of the distribution.
        value: Target, `module` or `module:object`.
        requires: The distribution's `Requires-Dist` lines.
        refused: Set when it can already be refused: the status and the reason.
        sha256: That of the file of a one-file plugin; empty for others.
    """

    name: str
    distribution: str
    version: str
    value: str
    requires: tuple[str, ...] = ()
    refused: tuple[Status, str] | None = None
    sha256: str = ""

    @property
    def key(self) -> str:
        """`distribution:name`, unique among plugins that are not refused."""
        return f"{self.distribution}:{self.name}"

    def row(self, status: Status, reason: str) -> Plugin:
        """The row of this plugin when it is not loaded."""
        return Plugin(
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            value=self.value,
            status=status,
            reason=reason,
            sha256=self.sha256,
        )

    def load(self) -> object:
        """Import the target and return it; whatever the plugin raises comes through.

        Raises:
            PluginError: The target is not of the form `module` or `module:object`.
        """
        if not _TARGET.fullmatch(self.value):
            raise PluginError(f"entry point target {self.value!r} is not of the form 'module' or 'module:object'")
        return EntryPoint(self.name, self.value, GROUP).load()


def canonical(name: str) -> str:
    """A distribution name as package indexes compare it: lower case, runs of `-`, `_` and `.` as one hyphen."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> tuple[tuple[Found, ...], tuple[str, ...]]:
    """Every entry point of the group `twm` in (distribution, name) order, and warnings about what could not be read.

    A distribution that lies on the path twice counts once, and it is the first one that counts, as for `import`.
    """
    warnings: list[str] = []
    chosen: dict[str, Distribution] = {}
    for each in distributions():
        try:
            text = each.read_text("entry_points.txt")
        except UnicodeDecodeError as error:
            warnings.append(f"distribution {_name(each) or 'without a name'}: entry_points.txt is not UTF-8 text ({error})")
            continue
        if text is None or not _SECTION.search(text):
            continue  # reading names and versions of everything installed would cost more than the rest of discovery
        name = _name(each)
        if name is None:
            lines = [line.strip() for line in text.splitlines() if "=" in line]
            warnings.append(f"a distribution without a readable name declares plugins ({'; '.join(lines)}): reinstall or remove it")
            continue
        if name not in chosen:
            chosen[name] = _first(name, each)
    found = [entry for name, each in sorted(chosen.items()) for entry in _entries(name, each)]
    return tuple(found), tuple(warnings)


def _name(each: Distribution) -> str | None:
    """Normalized name, None when the metadata are missing or nameless (an interrupted installation leaves such folders)."""
    try:
        name = _field(each, "Name")
    except (TypeError, FileNotFoundError, UnicodeDecodeError):  # what absent metadata are depends on the Python version
        return None
    return canonical(name) if name else None


def _field(each: Distribution, field: str) -> str | None:
    metadata = each.metadata
    if field not in metadata:  # asking for an absent field is deprecated
        return None
    return metadata[field]


def _first(name: str, candidate: Distribution) -> Distribution:
    """The copy of a distribution that imports see: an earlier one on the path may declare no plugin and still hide this one."""
    try:
        first = distribution(name)
    except PackageNotFoundError:  # the folder is named differently from its metadata
        return candidate
    return first if _name(first) == name else candidate


def _entries(name: str, each: Distribution) -> list[Found]:
    """The entry points of one distribution, sorted by name; a repeated name is refused as duplicate."""
    version = _field(each, "Version") or "unknown"
    requires = tuple(each.requires or ())
    base = Found(name="", distribution=name, version=version, value="", requires=requires)
    try:
        entries = sorted(each.entry_points.select(group=GROUP), key=lambda e: e.name)
    except (TypeError, ValueError, AttributeError) as error:  # a line without "=" ends in one of these, depending on the Python version
        reason = f"entry_points.txt cannot be parsed: {error}"
        return [replace(base, name="entry_points.txt", value="entry_points.txt", refused=("broken", reason))]
    found: list[Found] = []
    for entry in entries:
        refused: tuple[Status, str] | None = None
        if found and found[-1].name == entry.name:
            refused = ("duplicate", f"{name} declares the entry point {entry.name!r} more than once; the first one counts")
        found.append(replace(base, name=entry.name, value=entry.value, refused=refused))
    return found
