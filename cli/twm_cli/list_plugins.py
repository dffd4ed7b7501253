"""`twm list-plugins`: every component that can be chosen, and every plugin that needs attention.

`--json` prints one object; fields may be added to it, none will change its meaning:

    {"plugins":    [{"name", "distribution", "version", "value", "status", "reason", "seconds", "heavy", "components": ["kind/name"]}],
     "components": [{"kind", "name", "distribution", "version", "plugin", "summary", "layout_version"}],
     "warnings":   ["text"]}

`status` is loaded, blocked, incompatible, broken or duplicate; `seconds` is CPU time of importing the declaration; `heavy` says that
the declaration imported torch or numpy, which makes every command slow.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twm_cli.options.session import Session
from twm_cli.output import show_json, table
from twm_core.kinds import KINDS

if TYPE_CHECKING:
    from twm_core.plugin.registry import Plugin, Registered


SCHEMA = 1
"""Of the JSON object: fields may be added; one that is removed or means something else raises this number."""


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def list_plugins(
        kind: Annotated[str | None, typer.Option(help=f"Only components of this kind: {', '.join(KINDS)}.", autocompletion=kinds)] = None,
        broken: Annotated[bool, typer.Option("--broken", help="Only plugins that did not load, are heavy, or have a remark.")] = False,
        timings: Annotated[bool, typer.Option("--timings", help="Show what loading each plugin took.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with plugins, components and warnings.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """List the components that can be chosen, and every plugin that did not load, is heavy, or has a remark."""
        registry = session.registry
        if not registry.plugins and not as_json:
            typer.echo("no components\n\nno plugin is installed: install a distribution that has some, or give a file with -p FILE.py")
            return
        components = () if broken else registry.components(kind)
        plugins = [p for p in registry.plugins if not broken or _needs_attention(p)]
        if kind is not None:
            plugins = [p for p in plugins if _needs_attention(p) or any(c.kind == kind for c in p.components)]
        if as_json:
            rows = [_component_object(r) for r in components]
            show_json(
                {"schema": SCHEMA, "plugins": [_plugin_object(p) for p in plugins], "components": rows, "warnings": list(session.warnings)}
            )
            return
        sections = [] if broken else [_components(components)]
        if timings:
            sections.append(_timings(plugins))
        attention = [p for p in plugins if _needs_attention(p)]
        if attention or broken:
            sections.append(_attention(attention))
        sections += [f"warning: {text}" for text in session.warnings]
        typer.echo("\n\n".join(sections))

    return list_plugins


def kinds() -> list[tuple[str, str]]:
    """The kinds with their summaries, for completion."""
    return [(kind.name, kind.summary) for kind in KINDS.values()]


def _needs_attention(plugin: Plugin) -> bool:
    return plugin.status != "loaded" or plugin.heavy or bool(plugin.reason)


def _components(components: tuple[Registered, ...]) -> str:
    if not components:
        return "no components"
    order = list(KINDS)
    rows = [
        (r.component.kind, r.component.name, r.plugin.distribution, r.plugin.version, r.component.summary)
        for r in sorted(components, key=lambda r: (order.index(r.component.kind), r.component.name, r.plugin.distribution))
    ]
    return table(("KIND", "NAME", "DISTRIBUTION", "VERSION", "SUMMARY"), rows)


def _attention(plugins: list[Plugin]) -> str:
    if not plugins:
        return "every plugin loaded, and none is heavy"
    rows = [(_status(p), p.name, p.distribution, p.version, p.reason or "imports torch or numpy when it is listed") for p in plugins]
    return table(("STATUS", "PLUGIN", "DISTRIBUTION", "VERSION", "REASON"), rows)


def _status(plugin: Plugin) -> str:
    return "HEAVY" if plugin.heavy and plugin.status == "loaded" else plugin.status + (" HEAVY" if plugin.heavy else "")


def _timings(plugins: list[Plugin]) -> str:
    rows = [
        (p.name, p.distribution, p.status, f"{1000 * p.seconds:.1f}", str(len(p.components)), "HEAVY" if p.heavy else "")
        for p in sorted(plugins, key=lambda p: -p.seconds)
    ]
    return table(("PLUGIN", "DISTRIBUTION", "STATUS", "CPU MS", "COMPONENTS", "REMARK"), rows, right=(3, 4))


def _plugin_object(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "value": plugin.value,
        "status": plugin.status,
        "reason": plugin.reason,
        "seconds": round(plugin.seconds, 6),
        "heavy": plugin.heavy,
        "components": [f"{c.kind}/{c.name}" for c in plugin.components],
    }


def _component_object(registered: Registered) -> dict[str, Any]:
    component, plugin = registered.component, registered.plugin
    return {
        "kind": component.kind,
        "name": component.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "plugin": plugin.name,
        "summary": component.summary,
        "layout_version": component.layout_version,
    }
