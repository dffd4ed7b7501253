"""`twm train`: assemble a recipe and train it in a run folder, or resume one. Torch is imported once the recipe is known to fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from twm_cli.options.fields import option
from twm_cli.options.recipe import RecipeOptions
from twm_cli.options.session import Session
from twm_cli.options.words import occurrences
from twm_cli.output import labelled, show_json
from twm_cli.planning import plan, show_plan, with_options
from twm_core.checkpoint.manifest import RunFolder, check_installed, distributions, read_manifest
from twm_core.errors import CheckpointError, UsageError
from twm_core.recipe.layers import PRESET, Layer, file_layer
from twm_core.recipe.presets import SIZE
from twm_core.training.resuming import check_changes, differences, elsewhere
from twm_core.training.run_claim import check_claim

_OWN = {"--run": True, "--resume": False, "--from": True, "--accept-changes": False, "--dry-run": False, "--json": False}
_WITHOUT_EFFECT = ("--preset", "--size")
"""Options that would choose the components that a resumed run has chosen already."""


def command(session: Session) -> Callable[..., None]:
    """The command function, with the options of the components that the words (or the resumed run) choose."""
    former = _former(session)
    options = RecipeOptions(session, _OWN, base=former.recipe if former else None)

    def train(**given: Any) -> None:
        """Train a world model in a run folder.

        Every field of every chosen component is an option; choosing other components shows other options.
        """
        _, planned = plan(session, options, given)
        start, accept = given["start"] or "latest", given["accept_changes"]
        if former is not None and former.manifest is not None:
            changes = differences(former.manifest, planned)
            check_changes(changes, reached=former.manifest["step"], steps=planned.training.steps, accept=accept)
        if given["dry_run"]:
            show_plan(planned, as_json=given["as_json"])
            return
        run = _run_folder(given["run"], resume=given["resume"])
        from twm_cli.progress import reporter  # draws with rich, which nothing before needs

        watcher = reporter()
        for note in planned.notes:
            watcher.note(f"note: {note}")
        watcher.note(f"run folder: {run}")

        from twm_core.training.run import train as run_training

        try:
            summary = run_training(
                planned, session.registry, run, resume=given["resume"], start=start, accept_changes=accept, reporter=watcher
            )
        finally:
            watcher.finish()
        _show(summary, as_json=given["as_json"])
        if summary.get("reason") == "interrupted":
            raise typer.Exit(130)

    own = [
        option("run", Path, None, "--run", metavar="DIR", help="Run folder. A new one below runs if not given.", show_default=False),
        option("resume", bool, False, "--resume", help="Continue the run in --run from its latest checkpoint."),
        option("start", str, None, "--from", metavar="CHECKPOINT", help="With --resume: latest, best or step-N.", show_default=False),
        option("accept_changes", bool, False, "--accept-changes", help="With --resume: go on though recorded values have changed."),
        option("dry_run", bool, False, "--dry-run", help="Check the recipe, show what would be trained, and stop."),
        option("as_json", bool, False, "--json", help="Print the summary as one JSON object."),
    ]
    return with_options(train, own, options)


@dataclass(frozen=True)
class _Former:
    """The run to resume: its recipe, and the manifest of the checkpoint to go on from if there is one."""

    recipe: Layer
    manifest: Mapping[str, Any] | None = None


def _former(session: Session) -> _Former | None:
    """The run that the words ask to resume."""
    takes_value = {**_OWN, "-c": True, "--config": True, "--set": True, **dict.fromkeys(_WITHOUT_EFFECT, True)}
    words = list(occurrences(session.words, takes_value))
    names = {name for name, _ in words}
    if session.wants_help:
        return None
    if "--resume" not in names:
        useless = sorted(names & {"--from", "--accept-changes"})
        if useless and not session.completing:
            raise UsageError(f"{useless[0]} has no effect without --resume", "add --resume, or leave it out")
        return None
    useless = sorted(names & set(_WITHOUT_EFFECT)) + _presets_elsewhere(words)
    if useless and not session.completing:
        raise UsageError(
            f"{useless[0]} has no effect with --resume: a resumed run keeps its components",
            "leave it out, or start a new run without --resume",
        )
    runs = [value for name, value in words if name == "--run" and value]
    if not runs:
        if session.completing:
            return None
        raise UsageError("--resume does not know which run to continue", "name its folder: twm train --run DIR --resume")
    folder = RunFolder(runs[-1])
    if not folder.recipe.is_file():
        if session.completing:
            return None
        raise UsageError(
            f"{runs[-1]} is not a run folder: it has no recipe.toml", "give --run the folder of an earlier run, or leave --resume out"
        )
    layer = file_layer(folder.recipe)
    if not folder.names():  # training says so
        return _Former(layer)
    starts = [value for name, value in words if name == "--from" and value]
    checkpoint = folder.find(starts[-1] if starts else "latest")
    try:
        manifest = read_manifest(checkpoint)
    except CheckpointError as error:
        raise elsewhere(error, folder, checkpoint.name) from error
    check_installed(manifest, session.registry)
    return _Former(replace(layer, distributions=distributions(manifest)), manifest)


def _presets_elsewhere(words: Sequence[tuple[str, str | None]]) -> list[str]:
    """Recipe files and settings of these words that name a preset."""
    files = [value for name, value in words if name in ("-c", "--config") and value]
    found = [f"the preset in {file}" for file in files if {PRESET, SIZE} & file_layer(file).values.keys()]
    settings = [value for name, value in words if name == "--set" and value]
    return found + [f"--set {s}" for s in settings if s.partition("=")[0].strip() in (PRESET, SIZE)]


def _run_folder(given: Path | None, *, resume: bool) -> Path:
    """The folder to train in; never one that holds another run's checkpoints, unless that run is to be resumed."""
    if given is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        candidates = (Path("runs") / (stamp if n == 1 else f"{stamp}-{n}") for n in range(1, 1000))
        return next(path for path in candidates if not path.exists())
    if given.exists() and not given.is_dir():
        raise UsageError(f"run folder {given} is a file", "give --run a folder")
    if not resume:
        check_claim(RunFolder(given), resume=False)
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
