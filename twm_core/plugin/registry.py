"""The registry: every installed plugin, what became of it, and the components of those that loaded.

`discover()` reads the entry points of the group `twm`, refuses some before import (`twm_core.plugin.admission`), loads the others each in
isolation (`twm_core.plugin.loading`) and returns a `Registry`. It imports neither torch nor numpy; `Registered.load_build` may.

A component is found by kind and name. The name is bare (`rssm-cat`) or qualified by its distribution (`acme-worlds:rssm-cat`); a bare
name that two distributions share is an error only for a user who writes it. In a declaration (a protocol, a preset, a default) it means the
component of the distribution that declares, else the one of twm, else the only other one.
"""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pluggy import HookRelay, PluginManager

import twm_core
from twm_core.component import Component
from twm_core.errors import AmbiguousComponentError, PluginError, UnknownComponentError, UsageError
from twm_core.hooks import GROUP, HookSpecs
from twm_core.kinds import KINDS
from twm_core.plugin import admission, one_file
from twm_core.plugin.discovery import Found, Plugin, canonical, installed
from twm_core.plugin.loading import Loaded, Loader, describe
from twm_core.plugin.rules import PluginLists, check_pins
from twm_core.suggest import closest

if TYPE_CHECKING:
    from twm_core.config import ComponentConfig

__all__ = ["Plugin", "Registered", "Registry", "discover"]

TWM = "twm"
"""The distribution to which the defaults of the commands belong."""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A component together with the plugin that provides it."""

    component: Component
    plugin: Plugin

    @property
    def whose(self) -> str:
        """Kind, name, distribution and version, for messages: `dynamics rssm-cat (twm 0.1.0)`."""
        return f"{self.component.kind} {self.component.name} ({self.plugin.whose})"

    @property
    def qualified(self) -> str:
        """The name that no other distribution can share: `twm:rssm-cat`."""
        return f"{self.plugin.distribution}:{self.component.name}"

    def load_config(self) -> type[ComponentConfig]:
        """Import the component's config class and check that it keeps the rules for configs.

        Raises:
            PluginError: The string leads nowhere, its module cannot be imported, or the class breaks a rule.
        """
        from twm_core.config import check_config_class  # needs pydantic, which the names of components do without

        loaded = self._load("config", self.component.config)
        return check_config_class(loaded, KINDS[self.component.kind].config, self.whose)

    def load_build(self) -> Callable[..., Any]:
        """Import the function that builds the component; this may import torch.

        Raises:
            PluginError: The string leads nowhere, its module cannot be imported, or it is not callable.
        """
        return self._callable("build", self.component.build)

    def load_upgrade(self) -> Callable[..., Any] | None:
        """Import the function that converts older parameter layouts; None if the component has none.

        Raises:
            PluginError: As for `load_build`.
        """
        return None if self.component.upgrade is None else self._callable("upgrade", self.component.upgrade)

    def _callable(self, role: str, reference: str) -> Callable[..., Any]:
        loaded = self._load(role, reference)
        if not callable(loaded):
            raise PluginError(f"{self.whose}: {role} {reference!r} is of type {type(loaded).__name__}, not a function", "name a function")
        return loaded

    def _load(self, role: str, reference: str) -> Any:
        module_name, _, attribute = reference.partition(":")
        try:
            with redirect_stdout(sys.stderr):
                module = import_module(module_name)
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"{self.whose}: {role} {reference!r} cannot be imported: {describe(error)}",
                f"mend or reinstall {self.plugin.distribution}, or choose another {self.component.kind}",
            ) from error
        if not hasattr(module, attribute):
            close = closest(attribute, dir(module))
            raise PluginError(
                f"{self.whose}: {role} {reference!r} does not exist: module {module_name!r} has no {attribute!r}",
                f"did you mean {close!r}?" if close else f"correct the string in the Component of plugin {self.plugin.name!r}",
            )
        return getattr(module, attribute)


class Registry:
    """What `discover` found.

    Attributes:
        plugins: Every entry point, loaded or not, in (distribution, name) order, then the files given by path.
        warnings: What a user should hear about: unknown names in the lists, unreadable distributions, clashing commands.
        hook: pluggy's relay of all hooks; use `notify` for observers.
    """

    def __init__(self, *, manager: PluginManager, loaded: Sequence[Loaded], warnings: Iterable[str] = ()) -> None:
        self.plugins: tuple[Plugin, ...] = tuple(each.plugin for each in loaded)
        self._manager = manager
        self._registered = tuple(Registered(component=c, plugin=p) for p in self.plugins for c in p.components)
        self._rows = {f"{p.distribution}:{p.name}": p for p in self.plugins if p.status == "loaded"}
        self._commands: dict[str, tuple[str, Plugin]] = {}
        self._reported: set[tuple[str, str]] = set()
        clashes = [clash for each in loaded for clash in self._add_commands(each)]
        self.warnings: tuple[str, ...] = (*warnings, *clashes)

    @property
    def hook(self) -> HookRelay:
        """The relay of all hooks of the loaded plugins."""
        return self._manager.hook

    def components(self, kind: str | None = None) -> tuple[Registered, ...]:
        """All components, or those of one kind, in the order of their plugins.

        Raises:
            UsageError: There is no such kind.
        """
        if kind is not None:
            _check_kind(kind)
        return tuple(r for r in self._registered if kind in (None, r.component.kind))

    def find(self, kind: str, name: str, *, own: str | None = None) -> Registered:
        """The component of this kind called `name` (`rssm-cat`, or `acme-worlds:rssm-cat`).

        Args:
            kind: One of `twm_core.KINDS`.
            name: Bare or qualified.
            own: The distribution in a declaration of which the name stands (a protocol, a preset, a default of a command). A bare name
                means the component of that distribution, else the one of twm, else the only one there is. None for what a user wrote.

        Raises:
            UsageError: There is no such kind.
            UnknownComponentError: No loaded plugin provides it.
            AmbiguousComponentError: The bare name is provided by more than one distribution, and none of them comes first.
        """
        _check_kind(kind)
        distribution, colon, bare = name.rpartition(":")
        wanted = canonical(distribution) if colon else None
        matches = [
            r for r in self._registered if (r.component.kind, r.component.name) == (kind, bare) and wanted in (None, r.plugin.distribution)
        ]
        if not matches:
            raise self._unknown(kind, name, bare, wanted)
        preferred = [r for d in (own, TWM) for r in matches if own is not None and r.plugin.distribution == d]
        if len(matches) > 1 and not preferred:
            qualified = [r.qualified for r in matches]
            raise AmbiguousComponentError(
                f"{kind} {name!r} is provided by {' and '.join(r.plugin.whose for r in matches)}", f"say {' or '.join(qualified)}"
            )
        return (preferred or matches)[0]

    def shared(self, kind: str, name: str) -> bool:
        """Whether more than one distribution has a component of this kind and bare name."""
        return sum((r.component.kind, r.component.name) == (kind, name) for r in self._registered) > 1

    def commands(self) -> dict[str, tuple[str, Plugin]]:
        """Extra commands by name: `module:function` and the plugin that brings it. Of namesakes the first plugin's counts."""
        return dict(self._commands)

    def notify(self, hook_name: str, **kwargs: Any) -> None:
        """Call an observer hook on every plugin, one at a time.

        An observer that raises does not stop the others nor the caller. Its first failure in each hook is a `RuntimeWarning` that
        names the plugin and is also kept in `warnings`; it goes on being called.

        Args:
            hook_name: A hook of `twm_core.hooks.HookSpecs`.
            kwargs: All arguments of that hook.

        Raises:
            TypeError: An argument of the hook is missing or foreign; that is the caller's mistake.
        """
        caller = getattr(self._manager.hook, hook_name)
        expected = set(inspect.signature(getattr(HookSpecs, hook_name)).parameters) - {"self"}
        if expected != set(kwargs):
            raise TypeError(f"{hook_name} takes {sorted(expected)}, got {sorted(kwargs)}")
        failures: list[str] = []
        for implementation in reversed(caller.get_hookimpls()):  # pluggy calls the last first
            arguments = [kwargs[argument] for argument in implementation.argnames]
            try:
                implementation.function(*arguments)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - an observer may raise anything; it is reported below
                key = (implementation.plugin_name, hook_name)
                if key not in self._reported:
                    self._reported.add(key)
                    row = self._rows[implementation.plugin_name]
                    failures.append(
                        f"plugin {row.name} ({row.whose}): {hook_name} raised {describe(error)}; "
                        "the run goes on, and later failures of this observer are not repeated"
                    )
        self.warnings += tuple(failures)
        for failure in failures:
            warnings.warn(failure, RuntimeWarning, stacklevel=2)

    def _add_commands(self, loaded: Loaded) -> list[str]:
        clashes = []
        for name, target in loaded.commands.items():
            if name in self._commands:
                first = self._commands[name][1]
                clashes.append(
                    f"command {name!r} of plugin {loaded.plugin.name} ({loaded.plugin.whose}) is not available, "
                    f"because plugin {first.name} ({first.whose}) has one of that name; "
                    f"{admission.DISABLE}={first.distribution}:{first.name} frees it"
                )
            else:
                self._commands[name] = (target, loaded.plugin)
        return clashes

    def _unknown(self, kind: str, name: str, bare: str, distribution: str | None) -> UnknownComponentError:
        names = sorted({r.component.name for r in self.components(kind)})
        message = f"no {kind} is called {name!r}; installed: {', '.join(names) or 'none'}"
        of_distribution = [p for p in self.plugins if p.distribution == distribution]
        if distribution is not None and not of_distribution:
            message += f"; no installed distribution {distribution!r} has plugins"
        elsewhere = [r for r in self._registered if r.component.name == bare and r.component.kind != kind]
        if elsewhere:
            message += f"; {bare!r} is a {' and a '.join(sorted({r.component.kind for r in elsewhere}))}"
        message += "".join(f"; plugin {p.name} of {p.whose} is {p.status}: {p.reason}" for p in of_distribution if p.status != "loaded")
        namesakes = [r.qualified for r in self.components(kind) if r.component.name == bare]
        close = closest(bare, names)
        hints = []
        if namesakes or close:
            hints.append(f"did you mean {namesakes[0] if namesakes else close!r}?")
        missing = self.not_loaded()
        return UnknownComponentError(message, "; ".join([*hints, *missing]) or "`twm list-plugins` shows what is installed")

    def not_loaded(self) -> list[str]:
        """What a user should know of plugins that are not there: none installed, some blocked, some broken; empty where all is well."""
        if not self.plugins:
            return ["no plugin is installed: install a distribution that has some, or give a file with -p FILE.py"]
        blocked = [p for p in self.plugins if p.status == "blocked"]
        broken = sum(p.status not in ("loaded", "blocked") for p in self.plugins)
        found = []
        if blocked:
            found.append(f"{_count(len(blocked))} {'are' if len(blocked) > 1 else 'is'} blocked ({blocked[0].reason})")
        if broken:
            found.append(f"{_count(broken)} did not load (twm list-plugins --broken)")
        return found


def discover(*, files: Sequence[str | Path] = (), environ: Mapping[str, str] | None = None, lists: Sequence[PluginLists] = ()) -> Registry:
    """Find and load all plugins. A bad installed plugin becomes a row with its reason; it never raises.

    Args:
        files: One-file plugins, asked for by path; they load whatever `environ` blocks.
        environ: Holds `TWM_DISABLE_PLUGINS` and `TWM_PLUGINS`; the process' environment by default.
        lists: The tables `plugins` of recipes. All of them hold, and before any plugin is imported.

    Raises:
        UsageError: One of `files` does not exist or is not a Python file.
        PluginError: One of `files` cannot be loaded: whoever names a file wants that file. Or a recipe requires a distribution that is
            not installed, or another version of it.
    """
    rules = admission.Rules.of(os.environ if environ is None else environ, lists)
    manager = PluginManager(GROUP)
    manager.add_hookspecs(HookSpecs)
    loader = Loader(manager=manager)
    found, unreadable = installed()
    for each in lists:
        not_yet = [f.row("blocked", "it is not imported yet") for f in found]
        check_pins(each.require, not_yet, each.origins.get("require", ""))
    loaded = [_admit_and_load(each, loader, rules) for each in found]
    loaded += [_load_file(path, loader) for path in dict.fromkeys(files)]
    return Registry(manager=manager, loaded=loaded, warnings=(*unreadable, *admission.unknown_names(found, rules)))


def _admit_and_load(found: Found, loader: Loader, rules: admission.Rules) -> Loaded:
    refused = admission.refusal(found, rules=rules, version=twm_core.__version__)
    return loader.load(found, found.load) if refused is None else Loaded(plugin=found.row(*refused))


def _load_file(path: str | Path, loader: Loader) -> Loaded:
    found = one_file.locate(path)
    loaded = loader.load(found, lambda: one_file.load(found))
    if loaded.error is not None:
        sys.modules.pop(found.name, None)  # so that the mended file is read again
        raise PluginError(f"plugin file {found.value!r} cannot be loaded: {loaded.plugin.reason}", "mend the file") from loaded.error
    version = getattr(sys.modules[found.name], "__version__", found.version)
    return replace(loaded, plugin=replace(loaded.plugin, version=str(version)))


def _count(plugins: int) -> str:
    return f"{plugins} plugin{'s' if plugins > 1 else ''}"


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        close = closest(kind, KINDS)
        raise UsageError(
            f"there is no kind {kind!r}; kinds are {', '.join(KINDS)}", f"did you mean {close!r}?" if close else "use one of these"
        )
