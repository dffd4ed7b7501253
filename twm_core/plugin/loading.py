"""Importing one plugin in isolation and asking it what it declares.

Whatever goes wrong in here becomes the status and reason of that plugin's row and leaves the others alone: an import that raises or
calls `sys.exit`, a hook that does not exist or has foreign arguments, `twm_components` that raises or returns something else.
`KeyboardInterrupt` passes. What a plugin prints while it is imported goes to stderr, because stdout may be read by a script.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType

import pluggy
from pluggy import PluginManager

import twm_core
from twm_core.component import Component
from twm_core.errors import TwmError
from twm_core.plugin.discovery import Found, Plugin
from twm_core.suggest import closest

HEAVY = ("torch", "numpy")
"""Modules that a declaration must not bring in."""

_MACHINERY = tuple(str(Path(module.__file__).parent) + os.sep for module in (importlib, pluggy, twm_core))


class _Refused(Exception):
    """The plugin breaks a rule; the text is the reason as it stands in its row."""


class _Duplicate(_Refused):
    """The plugin provides again what another one of its distribution provides."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The outcome of loading: the row, the commands it declares, and the exception behind a broken one."""

    plugin: Plugin
    commands: Mapping[str, str] = field(default_factory=dict)
    error: BaseException | None = None


class Loader:
    """Loads plugins one after the other into a plugin manager.

    Args:
        manager: Holds the plugins that loaded; one that fails is taken out again.
    """

    def __init__(self, *, manager: PluginManager) -> None:
        self.manager = manager
        self._owner: dict[tuple[str, str, str], str] = {}  # (distribution, kind, name) -> plugin

    def load(self, found: Found, importer: Callable[[], object]) -> Loaded:
        """Call `importer`, register what it returns and collect its declarations; never raises what the plugin raised."""
        present = {name for name in HEAVY if name in sys.modules}
        start = time.process_time()
        error: BaseException | None = None
        components: tuple[Component, ...] = ()
        commands: dict[str, str] = {}
        remarks: list[str] = []
        try:
            with redirect_stdout(sys.stderr):
                subject = importer()
                remarks += self._register(found.key, subject)
                components = self._components(found, subject)
                commands = self._commands(subject)
        except (Exception, SystemExit) as caught:  # noqa: BLE001 - a plugin may raise anything; it becomes the reason of its row
            error = caught
            if self.manager.has_plugin(found.key):
                self.manager.unregister(name=found.key)
        seconds = time.process_time() - start
        brought = [name for name in HEAVY if name in sys.modules and name not in present]
        if error is not None:
            row = found.row("duplicate" if isinstance(error, _Duplicate) else "broken", describe(error))
            return Loaded(plugin=replace(row, seconds=seconds, heavy=bool(brought)), error=error)
        if brought:
            remarks.insert(0, f"its declaration imports {' and '.join(brought)}; import them in the module that `build` names")
        self._owner.update({(found.distribution, c.kind, c.name): found.name for c in components})
        row = replace(found.row("loaded", "; ".join(remarks)), seconds=seconds, heavy=bool(brought), components=components)
        return Loaded(plugin=row, commands=commands)

    def _register(self, key: str, subject: object) -> list[str]:
        """Register the plugin after checking the names of its hooks; returns remarks."""
        if subject is None:
            raise _Refused("the entry point leads to None")
        for other, held in self.manager.list_name_plugin():
            if held is subject:
                raise _Duplicate(f"leads to the same object as {other}")
        known = sorted(name for name in vars(self.manager.hook) if not name.startswith("_"))
        remarks: list[str] = []
        hooks = 0
        for name in dir(subject):
            options = self.manager.parse_hookimpl_opts(subject, name)
            if options is None:
                if name.startswith("twm_") and isinstance(inspect.getattr_static(subject, name, None), FunctionType):
                    remarks.append(f"function {name} lacks @hookimpl and is never called")
                continue
            hook = options["specname"] or name
            if hook not in known:
                close = closest(hook, known)
                remedy = f"did you mean {close!r}?" if close else f"hooks are {', '.join(known)}"
                raise _Refused(f"unknown hook {hook!r}; {remedy}")
            if options["wrapper"] or options["hookwrapper"]:
                raise _Refused(f"hook {hook!r} is a wrapper, but hooks declare or observe and never change what others return")
            hooks += 1
        if not hooks:
            remarks.append("it implements no hook")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.manager.register(subject, name=key)
        # What pluggy says of hooks and arguments that are deprecated (`warn_on_impl` in their specification) belongs to the row.
        return [*remarks, *(f"{w.category.__name__}: {w.message}" for w in caught)]

    def _components(self, found: Found, subject: object) -> tuple[Component, ...]:
        components: list[Component] = []
        for returned in self._call("twm_components", subject):
            if not isinstance(returned, Sequence) or isinstance(returned, str):
                raise _Refused(f"twm_components returned {_short(returned)} instead of a list of Component")
            for item in returned:
                if not isinstance(item, Component):
                    raise _Refused(f"twm_components returned {_short(item)} in its list instead of a Component")
                if any((c.kind, c.name) == (item.kind, item.name) for c in components):
                    raise _Refused(f"it declares {item.kind} {item.name!r} twice")
                owner = self._owner.get((found.distribution, item.kind, item.name))
                if owner is not None:
                    raise _Duplicate(f"{item.kind} {item.name!r} is already provided by plugin {owner!r} of {found.distribution}")
                components.append(item)
        return tuple(components)

    def _commands(self, subject: object) -> dict[str, str]:
        commands: dict[str, str] = {}
        for returned in self._call("twm_commands", subject):
            if not isinstance(returned, Mapping):
                raise _Refused(f"twm_commands returned {_short(returned)} instead of a mapping from name to 'module:function'")
            for name, target in returned.items():
                well_formed = isinstance(name, str) and isinstance(target, str) and all(target.partition(":")) and target.count(":") == 1
                if not well_formed:
                    raise _Refused(f"twm_commands maps {_short(name)} to {_short(target)} instead of a name to 'module:function'")
                commands[name] = target
        return commands

    def _call(self, hook: str, subject: object) -> list[object]:
        """What this plugin's own implementations of a hook without arguments return."""
        returned: list[object] = []
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            if implementation.plugin is subject:
                try:
                    returned.append(implementation.function())
                except (Exception, SystemExit) as error:
                    raise _Refused(f"{hook} raised {describe(error)}") from error
        return returned


def describe(error: BaseException) -> str:
    """An exception on one line: type, message, and where in the plugin it was raised."""
    if isinstance(error, _Refused):
        return str(error)
    try:
        text = f"{error.message} ({error.hint})" if isinstance(error, TwmError) and error.hint else str(error)
    except Exception as failure:  # noqa: BLE001 - `__str__` belongs to the plugin as well
        text = f"(its message cannot be read: {type(failure).__name__})"
    line = f"{type(error).__name__}: {' '.join(text.split())}".rstrip(": ")
    place = "" if isinstance(error, SyntaxError) else _place(error)
    return f"{line} ({place})" if place else line


def _place(error: BaseException) -> str:
    """File and line of the innermost frame in a file that belongs neither to twm's core nor to the machinery of import, if any."""
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        path = frame.f_code.co_filename
        if not path.startswith(("<", *_MACHINERY)):
            return f"{'/'.join(Path(path).parts[-2:])} line {number}"
    return ""


def _short(thing: object) -> str:
    """A value with its type, cut to a length that fits a row."""
    text = f"{type(thing).__name__} {thing!r}" if thing is not None else "None"
    return text if len(text) <= 80 else f"{text[:77]}..."
