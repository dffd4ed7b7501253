"""`twm config`: the resolved recipe as TOML, with the origin of each value as a comment. The output is itself a recipe file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer

from twm_cli.options.fields import inline, option
from twm_cli.options.recipe import RecipeOptions
from twm_cli.options.session import Session
from twm_cli.output import show_json
from twm_cli.planning import plan, with_options
from twm_core.recipe.layers import Recipe


def command(session: Session) -> Callable[..., None]:
    """The command function, with the options of the components that the words choose."""
    options = RecipeOptions(session, {"--json": False})

    def config(**given: Any) -> None:
        """Print the resolved recipe as TOML, with the origin of each value."""
        recipe, planned = plan(session, options, given)
        resolved = planned.resolved()
        if given["as_json"]:
            show_json({"recipe": resolved, "origins": origins(resolved, recipe), "notes": list(planned.notes)})
            return
        for note in planned.notes:
            typer.echo(f"# note: {note}")
        typer.echo(annotated_toml(resolved, recipe))

    help_ = "Print one JSON object with recipe, origins (by dotted path) and notes."
    return with_options(config, [option("as_json", bool, False, "--json", help=help_)], options)


def origins(resolved: Mapping[str, Any], recipe: Recipe) -> dict[str, str]:
    """Origin of every value of a resolved recipe by dotted path."""
    return {f"{table}.{key}": recipe.origin(f"{table}.{key}") for table, values in _tables(resolved) for key in values}


def annotated_toml(resolved: Mapping[str, Any], recipe: Recipe) -> str:
    """A resolved recipe as TOML, each value followed by where it came from."""
    lines: list[str] = []
    for table, values in _tables(resolved):
        lines += ["", f"[{'.'.join(inline({word: 0})[1:-5] for word in table.split('.'))}]"]
        rows = [(f"{key} = {inline(value)}", recipe.origin(f"{table}.{key}")) for key, value in values.items()]
        pad = max((len(text) for text, _ in rows if len(text) <= 60), default=0)
        lines += [f"{text.ljust(pad)}  # {' '.join(origin.split())}" for text, origin in rows]
    return "\n".join(lines[1:])


def _tables(resolved: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Tables by dotted path: a slot of several has one of its own and one for each component."""
    tables: list[tuple[str, dict[str, Any]]] = []
    for slot, values in resolved.items():
        if "components" in values:
            tables.append((slot, {"components": values["components"]}))
            tables += [(f"{slot}.{name}", values[name]) for name in values["components"]]
        else:
            tables.append((slot, dict(values)))
    return tables
