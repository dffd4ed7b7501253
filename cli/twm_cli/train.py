"""`twm train`: assemble a recipe and train it in a run folder, or resume one. Torch is imported once the recipe is known to fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from twm_cli.fields import option
from twm_cli.output import labelled, show_json
from twm_cli.planning import plan, show_plan, with_options
from twm_cli.recipe_options import RecipeOptions
from twm_cli.session import Session
from twm_cli.words import occurrences
from twm_core.assembly import Plan, assemble
from twm_core.errors import UsageError
from twm_core.manifest import RunFolder, check_installed, owners, read_manifest
from twm_core.recipe import Layer, file_layer, resolve

EXTENDABLE = "training.steps"
"""The one value that may differ when a run is resumed."""

_OWN = {"--run": True, "--resume": False, "--dry-run": False, "--json": False}


def command(session: Session) -> Callable[..., None]:
    """The command function, with the options of the components that the words (or the resumed run) choose."""
    former = _former(session)
    options = RecipeOptions(session, _OWN, base=former)

    def train(**given: Any) -> None:
        """Train a world model in a run folder.

        Every field of every chosen component is an option; choosing other components shows other options.
        """
        _, planned = plan(session, options, given)
        if former is not None:
            _refuse_changes(session, former, planned)
        if given["dry_run"]:
            show_plan(planned, as_json=given["as_json"])
            return
        run = _run_folder(given["run"], resume=given["resume"])
        from twm_cli.progress import reporter  # draws with rich, which nothing before needs

        watcher = reporter()
        for note in planned.notes:
            watcher.note(f"note: {note}")
        watcher.note(f"run folder: {run}")

        from twm_core.training import train as run_training

        try:
            summary = run_training(planned, session.registry, run, resume=given["resume"], reporter=watcher)
        finally:
            watcher.finish()
        _show(summary, as_json=given["as_json"])
        if summary.get("reason") == "interrupted":
            raise typer.Exit(130)

    own = [
        option("run", Path, None, "--run", metavar="DIR", help="Run folder. A new one below runs if not given.", show_default=False),
        option("resume", bool, False, "--resume", help="Continue the run in --run from its latest checkpoint."),
        option("dry_run", bool, False, "--dry-run", help="Check the recipe, show what would be trained, and stop."),
        option("as_json", bool, False, "--json", help="Print the summary as one JSON object."),
    ]
    return with_options(train, own, options)


def _former(session: Session) -> Layer | None:
    """The recipe of the run that the words ask to resume."""
    words = list(occurrences(session.words, {**_OWN, "-c": True, "--config": True, "--set": True}))
    if not any(name == "--resume" for name, _ in words) or session.wants_help:
        return None
    runs = [value for name, value in words if name == "--run" and value]
    if not runs:
        if session.completing:
            return None
        raise UsageError("--resume does not know which run to continue", "name its folder: twm train --run DIR --resume")
    path = Path(runs[-1]) / "recipe.toml"
    if not path.is_file():
        if session.completing:
            return None
        raise UsageError(
            f"{runs[-1]} is not a run folder: it has no recipe.toml", "give --run the folder of an earlier run, or leave --resume out"
        )
    layer = file_layer(path)
    if RunFolder(path.parent).names():  # without one, training says so
        manifest = read_manifest(path.parent, "latest")
        check_installed(manifest, session.registry)
        layer = replace(layer, owners=owners(manifest))
    return layer


def _refuse_changes(session: Session, former: Layer, planned: Plan) -> None:
    before = dict(_flat(assemble(resolve([former]), session.registry).resolved()))
    after = dict(_flat(planned.resolved()))
    changed = [p for p in sorted({*before, *after}) if before.get(p) != after.get(p) and p != EXTENDABLE]
    if changed:
        lines = [f"{path}: {before.get(path)!r} in the run, {after.get(path)!r} now" for path in changed]
        raise UsageError(
            "a resumed run keeps its recipe, but these values differ:\n  " + "\n  ".join(lines),
            f"leave these options out (only {EXTENDABLE} may change), or start a new run without --resume",
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _run_folder(given: Path | None, *, resume: bool) -> Path:
    """The folder to train in; never one that holds another run's checkpoints, unless that run is to be resumed."""
    if given is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        candidates = (Path("runs") / (stamp if n == 1 else f"{stamp}-{n}") for n in range(1, 1000))
        return next(path for path in candidates if not path.exists())
    if given.exists() and not given.is_dir():
        raise UsageError(f"run folder {given} is a file", "give --run a folder")
    if not resume and RunFolder(given).names():
        raise UsageError(
            f"run folder {given} already holds checkpoints, and a run is never overwritten",
            f"continue it with twm train --run {given} --resume, or give another --run",
        )
    return given


def _show(summary: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(summary)
        return
    typer.echo(f"{summary['reason']} at step {summary['step']} after {summary['seconds']:.1f} s")
    typer.echo(f"run         {summary['run']}")
    typer.echo(f"checkpoint  {summary['checkpoint']}")
    numbers = {k: v for k, v in summary.get("metrics", {}).items() if isinstance(v, int | float)}
    if numbers:
        typer.echo(labelled("metrics", "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())))
    run = summary["run"]
    typer.echo(f"next        twm {'train --run ' + str(run) + ' --resume' if summary['reason'] == 'interrupted' else 'eval ' + str(run)}")
