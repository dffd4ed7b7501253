"""`twm data readers`: the formats that can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from twm_cli.options.session import Session
from twm_cli.output import show_json, table


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def readers(
        as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of name, distribution, version and summary.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """List the formats that can be read.

        twm describe reader/NAME shows the options of one.
        """
        session.warn(*session.warnings)
        found = sorted(session.registry.components("reader"), key=lambda r: (r.component.name, r.plugin.distribution))
        if as_json:
            names = ("name", "summary")
            facts = [{n: getattr(r.component, n) for n in names} for r in found]
            show_json(
                [{**f, "distribution": r.plugin.distribution, "version": r.plugin.version} for f, r in zip(facts, found, strict=True)]
            )
            return
        if not found:
            typer.echo("no readers")
            return
        typer.echo(table(("READER", "FORMAT"), [(r.component.name, r.component.summary) for r in found]))

    return readers
