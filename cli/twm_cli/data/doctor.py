"""`twm data doctor`: what is wrong with recordings, and what an import does about it. Nothing is written.

Exit status 1 says that a file cannot be read, so that an import would stop; findings alone are no failure. `--json` prints one object:

    {"reader", "sources", "recordings", "agents", "states", "seconds",
     "findings": [{"name", "count", "title", "unit", "threshold", "imported", "remedy",
                   "examples": [{"source", "recording", "track", "step", "text", "severity"}]}]}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from twm_cli.data.options import ReaderOptions, argument, existing, plugin_option, reader_names, signed
from twm_cli.data.quantities import quantity
from twm_cli.options.fields import option
from twm_cli.options.session import Session
from twm_cli.output import heading, labelled, show_json
from twm_core.errors import DataError, PluginError, TwmError, UsageError
from twm_core.recipe.chosen import configure

if TYPE_CHECKING:
    from twm_core.data.doctor.examination import Diagnosis
    from twm_core.data.importing.reader import Reader

_OWN = {"--reader": True, "--map": True, "--json": False, "--shortest": True}


def command(session: Session) -> Callable[..., None]:
    """The command function, with the options of the reader that the words choose."""
    options = ReaderOptions(session, _OWN, positional=False)

    def doctor(paths: list[Path], **given: Any) -> None:
        """Find what is wrong with recordings before they are imported.

        Reads the files as an import would, and says for each kind of finding how many there are, which are the worst, and what an import
        does about them. Nothing is written, nothing is dropped.
        """
        session.warn(*session.warnings)
        existing(paths)
        if options.registered is None:
            name, reader = guess(session, paths)
        else:
            name, reader = options.name, options.chosen(options.given(given)).build()

        from twm_cli.progress import reporter
        from twm_core.data.doctor.examination import examine

        watcher = reporter("source")
        if options.registered is None:
            watcher.note(f"reader {name}: the only one that reads these files; --reader chooses another")

        def observe(done: int, of: int, source: str) -> None:
            watcher.progress(done, of, {})

        try:
            diagnosis = examine(reader, paths, shortest=given["shortest"], observe=observe)
        finally:
            watcher.finish()
        if given["as_json"]:
            show_json({"reader": name, **diagnosis.as_object()})
        else:
            typer.echo(report(diagnosis))
        if not diagnosis.readable:
            raise typer.Exit(1)

    own = [
        argument("paths", list[Path], metavar="FOLDER...", help="Folders and files to examine."),
        option(
            "reader",
            str,
            None,
            "--reader",
            metavar="NAME",
            help="The format; without it, the only reader that reads the files.",
            autocompletion=reader_names(session),
        ),
        option("mapping", Path, None, "--map", metavar="FILE.toml", help="Short for --reader columns --reader.mapping FILE.toml."),
        option("shortest", int, 10, "--shortest", min=1, help="Tracks of fewer steps are short."),
        option("as_json", bool, False, "--json", help="Print one JSON object."),
        plugin_option(),
    ]
    return signed(doctor, [*own, *options.parameters])


def guess(session: Session, paths: Sequence[Path]) -> tuple[str, Reader]:
    """The one reader that finds sources in these files, or if several do, that can read something of the first.

    Raises:
        UsageError: No reader does, or more than one.
    """
    accepting: dict[str, Reader] = {}
    missing: list[str] = []
    for registered in session.registry.components("reader"):
        try:
            reader = configure(registered).build()
            if reader.sources(paths):
                accepting[registered.component.name] = reader
        except DataError:
            continue  # its way to say that nothing of its format is there
        except (UsageError, PluginError) as error:  # it needs an extra or an option: told if nothing else reads the files
            missing.append(f"{registered.component.name}: {error.message}")
    reading = accepting if len(accepting) < 2 else {n: r for n, r in accepting.items() if _reads(r, paths)}
    if len(reading) == 1:
        return next(iter(reading.items()))
    if not accepting:
        told = "; ".join(missing)
        raise UsageError(
            f"no reader finds anything in {', '.join(map(str, paths))}" + (f" ({told})" if told else ""),
            "twm data readers lists the formats; for any other table: --map columns.toml",
        )
    names = ", ".join(sorted(reading or accepting))
    raise UsageError(
        f"{'several readers read' if reading else 'none of the readers can read'} these files: {names}", "choose one: --reader NAME"
    )


def _reads(reader: Reader, paths: Sequence[Path]) -> bool:
    try:
        next(reader.read(reader.sources(paths)[0]), None)
    except TwmError:  # whoever chooses this reader hears of it
        return False
    return True


def report(diagnosis: Diagnosis) -> str:
    """A diagnosis for people."""
    counts = (
        f"{quantity(diagnosis.sources, 'source')}, {quantity(diagnosis.recordings, 'recording')}, {quantity(diagnosis.agents, 'agent')}"
    )
    lines = [heading(f"{counts}, {quantity(diagnosis.states, 'state')}, {diagnosis.seconds:,.1f} s")]
    for finding in diagnosis.findings:
        about = finding.about
        lines += ["", heading(f"{about.title}: {finding.count:,} ({about.unit})")]
        lines += [labelled("worst" if i == 0 else "", f"{e.where()}: {e.text}") for i, e in enumerate(finding.examples)]
        lines += [labelled("because", about.threshold), labelled("import", about.imported), labelled("you", about.remedy)]
    kinds = len(diagnosis.findings)
    lines += ["", f"{kinds} kind{'s' if kinds > 1 else ''} of findings" if kinds else "no findings"]
    return "\n".join(lines)
