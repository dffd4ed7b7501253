"""`twm data unpack`: the store that `twm data pack` wrote into a file, again as a folder. It is checked while it is unpacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from twm_cli.data.importing import store_path
from twm_cli.data.quantities import quantity
from twm_cli.options.session import Session
from twm_core.errors import UsageError


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def unpack(
        file: Annotated[Path, typer.Argument(help="What twm data pack wrote.", show_default=False)],
        out: Annotated[Path, typer.Option(metavar="X.twm", help="The store to write, a folder.", show_default=False)],
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Make a store of what twm data pack wrote."""
        if not file.exists():
            raise UsageError(f"{file} does not exist", "give what twm data pack wrote")
        target = store_path(out)
        if file.is_dir():
            from twm_core.data.store.writing.parquet_reading import read_parquet

            read_parquet(file, target)
        else:
            from twm_core.data.store.packing import unpack_tar

            unpack_tar(file, target)

        from twm_core.data.store.reading import open_store

        counts = open_store(target).manifest.counts
        typer.echo(f"{target}: " + ", ".join(quantity(counts[f"{n}s"], n) for n in ("scenario", "agent", "state")))

    return unpack
