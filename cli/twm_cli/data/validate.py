"""`twm data validate`: read a whole store and say what is wrong with it. Exit status 1 if anything is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from twm_cli.data.quantities import quantity
from twm_cli.options.session import Session
from twm_cli.output import show_json


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def validate(
        store: Annotated[Path, typer.Argument(help="The store, a folder NAME.twm.", show_default=False)],
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with counts and problems.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Check every file and every value of a store.

        Hashes are compared, and every scenario is read and checked.
        """
        from twm_core.data.store.manifest import read_store_manifest
        from twm_core.data.store.validation import validate_store

        manifest = read_store_manifest(store)
        problems = validate_store(store)
        if as_json:
            show_json({"store": str(store), "valid": not problems, "counts": manifest.counts, "problems": problems})
        elif problems:
            for problem in problems:
                typer.echo(problem)
        else:
            counts = ", ".join(quantity(manifest.counts[f"{n}s"], n) for n in ("source", "scenario", "agent", "state", "road"))
            typer.echo(f"{store} is whole: {counts}, {quantity(len(manifest.files) + 1, 'file')}")
        if problems:
            raise typer.Exit(1)

    return validate
