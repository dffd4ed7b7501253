"""`twm data pack`: a store as one file (tar), or as Parquet tables for other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from twm_cli.data.quantities import in_bytes
from twm_cli.options.session import Session
from twm_core.errors import UsageError


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def pack(
        store: Annotated[Path, typer.Argument(help="The store, a folder NAME.twm.", show_default=False)],
        file: Annotated[Path, typer.Argument(help="What to write: a file, or a folder of tables.", show_default=False)],
        format: Annotated[
            Literal["tar", "parquet"] | None,
            typer.Option(help="tar: one file; parquet: a folder of tables. By FILE's suffix if not given, else tar.", show_default=False),
        ] = None,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Write a store into one file, or as Parquet tables.

        twm data unpack makes the same store of it.
        """
        wanted = format or ("parquet" if file.suffix == ".parquet" else "tar")
        if file.resolve() == store.resolve() or store.resolve() in file.resolve().parents:
            raise UsageError(f"{file} lies in the store itself", "write the file elsewhere")
        if wanted == "tar":
            if file.is_dir():
                raise UsageError(f"{file} is a folder", f"name a file, such as {file / (store.resolve().name + '.tar')}")
            from twm_core.data.store.packing import pack_tar

            written = pack_tar(store, file)
            size = written.stat().st_size
        else:
            from twm_core.data.store.parquet import write_parquet

            written = write_parquet(store, file)
            size = sum(p.stat().st_size for p in written.rglob("*") if p.is_file())
        typer.echo(f"{written}: {in_bytes(size)} ({wanted})")

    return pack
