"""`twm new-plugin`: a whole distribution with one working component of a kind, to be installed, tested and then changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from twm_cli.list_plugins import kinds
from twm_cli.options.session import Session
from twm_cli.output import show_json
from twm_core.errors import AmbiguousComponentError, UnknownComponentError
from twm_core.kinds import KINDS


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def new_plugin(
        name: Annotated[str, typer.Argument(help="Name of the distribution, such as acme-worlds.", show_default=False)],
        kind: Annotated[str, typer.Option(help=f"What it provides: {', '.join(KINDS)}.", autocompletion=kinds, show_default=False)],
        component: Annotated[
            str | None, typer.Option(metavar="NAME", help="Name of the component; that of the distribution if not given.")
        ] = None,
        out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write the new folder into.")] = Path(),
        as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object with the files and the commands to use it.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Write a plugin that installs, passes its tests and runs as it stands.

        It holds a small working component of the kind with the maths explained, its conformance test, and a file for continuous
        integration.
        """
        from twm_core.plugin.scaffold import new_plugin as render

        made = render(name, kind=kind, component=component, parent=out)
        session.warn(*_namesakes(session, kind, component or name, name))
        if as_json:
            show_json({"folder": str(made.folder), "files": list(made.files), "use": list(made.use)})
            return
        typer.echo(f"{made.folder}:")
        for file in made.files:
            typer.echo(f"  {file}")
        typer.echo("\nnext:")
        path = made.folder if made.folder.is_absolute() or made.folder.parts[0] == ".." else f"./{made.folder}"
        for line in (f"pip install -e {path}", f"pytest {path}", *made.use):
            typer.echo(f"  {line}")

    return new_plugin


def _namesakes(session: Session, kind: str, component: str, name: str) -> list[str]:
    """A remark where the bare name will be ambiguous."""
    try:
        other = session.registry.find(kind, component)
    except UnknownComponentError:
        return []
    except AmbiguousComponentError as error:
        return [error.message]
    whose, names = other.plugin.whose, f"{name}:{component} or {other.qualified}"
    return [f"{kind} {component!r} is provided by {whose} as well: once both are installed, say {names}"]
