"""`twm reproduce`: a table from the data folder to the numbers, with seeds, time, memory and hardware."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from twm_cli.options.session import Session
from twm_cli.output import show_json
from twm_core.errors import UsageError


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def reproduce(
        table: Annotated[str, typer.Argument(help="Name of a table, such as ethucy, or a TOML file.")],
        data: Annotated[Path, typer.Option("--data", metavar="FOLDER", help="Where the recordings are.")],
        out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where runs, results and TABLE.json go.")],
        parts: Annotated[list[str] | None, typer.Option("--part", metavar="PART", help="Only this part (fold); may be repeated.")] = None,
        seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="Only the first N seeds of the table.")] = None,
        rows: Annotated[list[str] | None, typer.Option("--row", metavar="ROW", help="Only this row; may be repeated.")] = None,
        split: Annotated[str | None, typer.Option("--split", metavar="val|test", help="Another split, val while tuning.")] = None,
        jobs: Annotated[
            int | None, typer.Option("--jobs", min=1, help="Processes at once, one thread each; all cores if not given.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the table as one JSON object.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Train and evaluate everything that a table needs. What has been done is not done again."""
        session.warn(*session.warnings)
        from twm_core.reproduction.published import differences, published
        from twm_core.reproduction.run import reproduce as run_table
        from twm_core.reproduction.table import load_table

        name, found = load_table(table)
        if not data.exists():
            raise UsageError(f"there is no folder {data}", "give --data the folder of the recordings")
        result, text = run_table(
            name,
            found,
            data=data,
            out=out,
            parts=parts,
            seeds=seeds,
            rows=rows,
            split=split,
            jobs=jobs or os.cpu_count() or 1,
            plugins=[str(Path(f).resolve()) for f in session.files],
            say=lambda line: typer.echo(line, err=True),
        )
        known = published(name) if split is None and not table.endswith(".toml") else None
        said = None if known is None else differences(result, known)
        _show(result, text, said, as_json=as_json)

    return reproduce


def _show(result: dict[str, Any], text: str, said: list[str] | None, *, as_json: bool) -> None:
    if as_json:
        show_json(result if said is None else {**result, "differences": said})
        return
    typer.echo(text)
    if said is not None:
        typer.echo("published table: it agrees" if not said else "published table: it differs")
        for line in said:
            typer.echo(f"  {line}")
