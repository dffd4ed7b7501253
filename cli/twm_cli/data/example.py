"""`twm data example`: a small recording in a reader's format, to try an import with or to compare one's own files with."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import typer

from twm_cli.data.options import argument, plugin_option, reader_names, signed
from twm_cli.options.session import Session
from twm_core.errors import UsageError
from twm_core.recipe.chosen import configure


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def example(reader: str, folder: Path, plugin: list[Path] | None) -> None:
        """Write a small recording in a reader's format."""
        session.warn(*session.warnings)
        registered = session.registry.find("reader", reader)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"{folder} is a file" if not folder.is_dir() else f"{folder} is not empty", "name a new folder")
        built = configure(registered).build()
        folder.mkdir(parents=True, exist_ok=True)
        paths = built.example(folder)
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            typer.echo(str(path))
        words = " ".join(shlex.quote(str(p)) for p in paths)
        files = "".join(f"-p {shlex.quote(str(file))} " for file in session.files)
        typer.echo(f"next        twm data import {files}{reader} {words} --out {shlex.quote(str(folder) + '.twm')}")

    names = reader_names(session)
    own = [
        argument("reader", str, help="The reader.", autocompletion=names),
        argument("folder", Path, help="New or empty folder to write into."),
        plugin_option(),
    ]
    return signed(example, own)
