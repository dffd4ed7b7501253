"""`twm describe`: a component's fields with types, ranges and defaults, and the specs that it maps in the default recipe; or a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twm_cli.options.fields import inline, range_text, type_name
from twm_cli.options.session import Session
from twm_cli.output import heading, labelled, show_json, table
from twm_core.errors import TwmError, UnknownComponentError
from twm_core.kinds import KINDS, RECIPE_KINDS
from twm_core.plugin.discovery import canonical
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import default_layer, option_layer, resolve
from twm_core.suggest import did_you_mean

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from twm_core.kinds import RECIPE_KINDS, Kind
    from twm_core.plugin.registry import Registered, Registry


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def names(incomplete: str) -> list[tuple[str, str]]:
        return [(r.component.name, r.component.summary) for r in session.registry.components() if r.component.name.startswith(incomplete)]

    def describe(
        component: Annotated[str, typer.Argument(help="NAME, KIND/NAME, DISTRIBUTION:NAME, or a kind.", autocompletion=names)],
        as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with one object for each match.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Show a component's fields and what it maps in the default recipe, or what a kind is and what is installed of it."""
        session.warn(*session.warnings)
        if component in KINDS and not any(r.component.name == component for r in session.registry.components()):
            found = _kind_object(KINDS[component], session.registry)
            show_json([found]) if as_json else typer.echo(_kind_text(found))
            return
        matches = list(_matches(session.registry, component))
        if as_json:
            show_json([_object(r, session.registry) for r in matches])
            return
        typer.echo("\n\n".join(_text(r, session.registry) for r in matches))

    # The completer is local, so the annotations are evaluated here and not by Typer, which knows module names only.
    describe.__annotations__["component"] = Annotated[
        str, typer.Argument(help="NAME, KIND/NAME, DISTRIBUTION:NAME, or a kind.", autocompletion=names)
    ]
    return describe


def _kind_object(kind: Kind, registry: Registry) -> dict[str, Any]:
    """A kind, and what is installed of it; also where nothing is."""
    return {
        "kind": kind.name,
        "summary": kind.summary,
        "given": kind.specs,
        "gives": kind.gives,
        "config": f"{kind.config.__module__}:{kind.config.__name__}",
        "interface": kind.interface,
        "in_recipe": kind.name in RECIPE_KINDS,
        "several": kind.several,
        "components": [
            r.qualified if registry.shared(kind.name, r.component.name) else r.component.name for r in registry.components(kind.name)
        ],
        "not_loaded": registry.not_loaded(),
    }


def _kind_text(found: dict[str, Any]) -> str:
    several = "several" if found["several"] else "one"
    facts = [
        ("given", found["given"]),
        ("gives", found["gives"]),
        ("in a recipe", several if found["in_recipe"] else "no: commands of their own use it"),
        ("config base", found["config"]),
        ("interface", found["interface"]),
        ("installed", ", ".join(found["components"]) or "none"),
        *(("note", text) for text in found["not_loaded"]),
        ("write one", f"twm new-plugin NAME --kind {found['kind']}"),
    ]
    return "\n".join([heading(f"kind {found['kind']}"), found["summary"], "", *(labelled(name, text) for name, text in facts)])


def _matches(registry: Registry, given: str) -> Iterator[Registered]:
    """Every component that `given` names.

    Raises:
        UnknownComponentError: There is none.
        TwmError: The kind is unknown or the name is ambiguous within a kind given with it.
    """
    kind, slash, name = given.rpartition("/")
    if slash:
        yield registry.find(kind, name)
        return
    distribution, colon, bare = given.rpartition(":")
    wanted = canonical(distribution) if colon else None
    found = [r for r in registry.components() if r.component.name == bare and wanted in (None, r.plugin.distribution)]
    if not found:
        names = sorted({r.component.name for r in registry.components()})
        hint = "; ".join(registry.not_loaded()) or "twm list-plugins shows what is installed"
        raise UnknownComponentError(f"no component is called {given!r}{did_you_mean(bare, names)}", hint)
    yield from found


def _text(registered: Registered, registry: Registry) -> str:
    component, plugin = registered.component, registered.plugin
    head = [
        heading(f"{component.kind} {component.name}"),
        component.summary,
        "",
        f"distribution    {plugin.distribution} {plugin.version}",
        f"plugin          {plugin.name} ({plugin.value})",
        f"config          {component.config}",
        f"build           {component.build}",
        f"layout version  {component.layout_version}",
        *(f"{label:<16}{text}" for label, text in _flow(registered, registry)),
    ]
    fields = registered.load_config().model_fields
    rows = [(name, type_name(f.annotation), range_text(f), _default(f), f.description or "") for name, f in fields.items()]
    body = table(("FIELD", "TYPE", "RANGE", "DEFAULT", "DESCRIPTION"), _narrow(rows)) if rows else "no fields"
    return "\n".join([*head, "", body])


def _object(registered: Registered, registry: Registry) -> dict[str, Any]:
    component, plugin = registered.component, registered.plugin
    fields = registered.load_config().model_fields
    return {
        "kind": component.kind,
        "name": component.name,
        "summary": component.summary,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "plugin": plugin.name,
        "config": component.config,
        "build": component.build,
        "layout_version": component.layout_version,
        "fields": {
            name: {"type": type_name(f.annotation), "range": range_text(f), "default": _default(f), "description": f.description}
            for name, f in fields.items()
        },
        "flow": dict(_flow(registered, registry)),
    }


def _flow(registered: Registered, registry: Registry) -> list[tuple[str, str]]:
    """What the component is given and gives when it takes its place in the default recipe."""
    kind, name = registered.component.kind, registered.qualified
    own = [("given", KINDS[kind].specs), ("gives", KINDS[kind].gives)]
    if kind not in RECIPE_KINDS:
        return own
    choice = [name] if KINDS[kind].several else name
    slot = f"{kind}.{'components' if KINDS[kind].several else 'component'}"
    try:
        plan = assemble(resolve([default_layer(), option_layer(slot, choice, "describe")]), registry)
    except TwmError as error:
        return [("default recipe", f"cannot show what it maps: {error.message}")]
    obs_spec, embedding, latent, output = plan.obs_spec.describe(), str(plan.embedding), str(plan.latent), str(plan.output)
    flow = {
        "dataset": ("", obs_spec),
        "encoder": (obs_spec, embedding),
        "dynamics": (embedding, latent),
        "decoder": (latent, output),
        "loss": (f"{output}, {latent}", "scalar terms"),
    }
    if kind not in flow:
        return own
    given, gives = flow[kind]
    return [*([("given", given)] if given else []), ("gives", gives)]


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "none" if value is None else inline(value)


def _narrow(rows: list[tuple[str, str, str, str, str]]) -> list[tuple[str, ...]]:
    """Long types and defaults move into the description, so that one of them does not widen the whole table."""
    narrow: list[tuple[str, ...]] = []
    for name, type_, range_, default, description in rows:
        extra: list[str] = []
        if len(type_) > 24:
            type_, extra = "choice" if type_.startswith("one of") else "see text", [f"Type: {type_}."]
        if len(default) > 20:
            extra.append(f"Default: {default}.")
            default = "see text"
        narrow.append((name, type_, range_, default, " ".join([description, *extra])))
    return narrow
