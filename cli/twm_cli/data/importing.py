"""`twm data import`: recordings of any known format become a store.

`--json` prints the report as one object. A run that is interrupted (Ctrl-C, a kill, a full disk) is continued by the same command; bad
input leaves nothing behind.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from twm_cli.data.options import (
    ReaderOptions,
    argument,
    existing,
    feature_names,
    plugin_option,
    reader_names,
    signed,
)
from twm_cli.data.quantities import NO_MAP_TEXT, quantity
from twm_cli.options.fields import option
from twm_cli.options.session import Session
from twm_cli.output import labelled, show_json
from twm_core.errors import UsageError

if TYPE_CHECKING:
    from twm_core.data.importing.importer import ImportReport

_OWN = {"--out": True, "--map": True, "--features": True, "--append": False, "--skip-bad": False, "--restart": False, "--json": False}


def command(session: Session) -> Callable[..., None]:
    """The command function, with the options of the reader that the words choose."""
    options = ReaderOptions(session, _OWN, positional=True)
    names = reader_names(session)

    def complete(incomplete: str) -> list[tuple[str, str]]:
        return [] if options.first_is_reader else names(incomplete)  # then come files, which the shell completes

    def import_(words: list[str], **given: Any) -> None:
        """Read recordings of any known format into a store.

        twm data readers lists the formats; every field of the reader's config is an option --reader.FIELD. The same command continues an
        import that was interrupted.
        """
        session.warn(*session.warnings)
        features = feature_names(given["features"])
        sources = existing(Path(w) for w in (words[1:] if options.first_is_reader else words))
        if options.registered is None or not sources:
            raise UsageError(
                "no files are named" if options.registered else f"{words[0]!r} is no reader",
                "write twm data import READER FILES... --out X.twm; twm data readers lists the readers",
            )
        if given["mapping"] is not None:
            existing([given["mapping"]])
        out = store_path(given["out"])
        chosen = options.chosen(options.given(given))
        reader, config = chosen.build(), chosen.config

        from twm_cli.progress import reporter  # draws with rich, which nothing before needs
        from twm_core.data.importing.importer import import_sources

        watcher = reporter("source")
        try:
            report = import_sources(
                reader,
                sources,
                out,
                reader_name=options.name,
                reader_version=options.registered.plugin.version,
                options=config.model_dump(),
                features=features,
                append=given["append"],
                skip_bad=given["skip_bad"],
                restart=given["restart"],
                observe=watcher,
            )
        except KeyboardInterrupt:
            watcher.finish()
            typer.echo(f"interrupted; the same command continues the import into {out}", err=True)
            raise typer.Exit(130) from None
        finally:
            watcher.finish()
        shown = report_object(report)
        if given["as_json"]:
            show_json(shown)
        else:
            typer.echo(report_text(shown))

    own = [
        argument("words", list[str], metavar="READER SOURCE...", help="The format, then files and folders.", autocompletion=complete),
        option("out", Path, ..., "--out", metavar="X.twm", help="The store to write, a folder.", show_default=False),
        option("mapping", Path, None, "--map", metavar="FILE.toml", help="Short for the reader columns with --reader.mapping FILE.toml."),
        option("features", str, None, "--features", metavar="A,B", help="Features to store; all that the data support if not given."),
        option("append", bool, False, "--append", help="Add to the store, which is there already."),
        option("skip_bad", bool, False, "--skip-bad", help="Leave out sources that cannot be read, and count them."),
        option("restart", bool, False, "--restart", help="Begin anew instead of continuing an interrupted import."),
        option("as_json", bool, False, "--json", help="Print the report as one JSON object."),
        plugin_option(),
    ]
    return signed(import_, [*own, *options.parameters])


def store_path(out: Path) -> Path:
    """The folder of a store to write.

    Raises:
        UsageError: Its name does not end in `.twm`, or the folder it is to lie in does not exist.
    """
    if out.suffix != ".twm":
        raise UsageError(f"--out {out}: the name of a store ends in .twm", f"write --out {out.name}.twm")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}", "make it first")
    return out


def report_object(report: ImportReport) -> dict[str, Any]:
    """A report as plain values, with the seconds that were imported."""
    from twm_core.data.store.reading import open_store

    index = open_store(report.store).index
    seconds = (index["steps"] * index["dt"])[len(index["dt"]) - report.scenarios :].sum()
    return {**asdict(report), "store": str(report.store), "seconds": float(seconds)}


def report_text(report: Mapping[str, Any]) -> str:
    """A report for people."""
    counts = ", ".join(quantity(report[f"{noun}s"], noun) for noun in ("source", "scenario", "agent", "state"))
    lines = [f"imported    {counts}, {report['seconds']:,.1f} s"]
    if report["resumed"]:
        lines.append(f"continued   {quantity(report['not_read_again'], 'source')} finished before the interruption")
    if report["without_map"]:
        lines.append(labelled("no map", NO_MAP_TEXT.format(quantity(report["without_map"], "scenario"))))
    for label, found in (("skipped", report["skipped"]), ("bad", report["bad"])):
        lines += [labelled(label if i == 0 else "", f"{name}: {what}") for i, (name, what) in enumerate(found.items())]
    lines += [labelled("left out" if i == 0 else "", f"{name}: the same files are there") for i, name in enumerate(report["left_out"])]
    store = shlex.quote(report["store"])
    return "\n".join([*lines, f"store       {report['store']}", f"next        twm data show {store}"])
