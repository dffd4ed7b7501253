"""`twm eval`: a checkpoint, baselines or forecasters of third parties on the windows of a protocol, and comparisons of two of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from twm_cli.eval.report import report
from twm_cli.eval.tables import FORMATS, formatted
from twm_cli.options.session import Session
from twm_cli.options.words import parse_setting
from twm_cli.output import show_json
from twm_core.atomic import write_text
from twm_core.errors import UsageError

Format = Literal["text", "markdown", "latex", "csv"]


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def evaluate(
        target: Annotated[
            Path | None, typer.Argument(help="Run folder or checkpoint; without one, baselines alone.", show_default=False)
        ] = None,
        dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Dataset, where no target or protocol says which.")] = None,
        data: Annotated[str | None, typer.Option(metavar="PATH", help="Where the files are: short for --set dataset.path=PATH.")] = None,
        protocol: Annotated[str | None, typer.Option(metavar="NAME", help="Fix windows, split, futures and metrics.")] = None,
        baseline: Annotated[
            list[str] | None, typer.Option(metavar="NAME", help="Baselines beside the model; may be repeated. All that fit if not given.")
        ] = None,
        metric: Annotated[
            list[str] | None,
            typer.Option(metavar="NAME", help="Metrics, beside those of the protocol; may be repeated. The usual ones if not given."),
        ] = None,
        without: Annotated[
            list[str] | None,
            typer.Option(metavar="NAME", help="Leave out a baseline or metric that is measured by default; may be repeated."),
        ] = None,
        split: Annotated[str | None, typer.Option(metavar="train|val|test", help="Which windows to score; test if not given.")] = None,
        samples: Annotated[
            int | None, typer.Option(min=1, help="Futures for each window (S); as the protocol says, else 6, if not given.")
        ] = None,
        windows: Annotated[int | None, typer.Option(min=1, help="Most windows to score, evenly spaced; all if not given.")] = None,
        seed: Annotated[int, typer.Option(min=0, help="Seed of futures and intervals.")] = 0,
        futures: Annotated[
            Literal["auto", "latent", "modes"],
            typer.Option(help="Futures of a model: rolled out in its latents, or decoded at once where it can."),
        ] = "auto",
        checkpoint: Annotated[str, typer.Option(metavar="best|latest|step-N", help="Which checkpoint of the run.")] = "best",
        against: Annotated[
            Path | None, typer.Option(metavar="RUN|RESULT.json", help="Compare in pairs with another run or a saved result.")
        ] = None,
        settings: Annotated[
            list[str] | None,
            typer.Option(
                "--set", metavar="PATH=VALUE", help="Change an option, for example dataset.path=DIR or baseline.kalman.model=velocity."
            ),
        ] = None,
        form: Annotated[Format, typer.Option("--format", help="How tables are printed.")] = "text",
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
        out: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Save the result (X.json, for --against), or the tables (any other name).")
        ] = None,
        plot: Annotated[
            Path | None, typer.Option(metavar="FILE.png", help="Draw what metrics have curves of, such as calibration, into a picture.")
        ] = None,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Measure a world model, a baseline or any forecaster."""
        session.warn(*session.warnings)
        overrides = dict(parse_setting(s) for s in settings or ())
        if data is not None:
            if "dataset.path" in overrides:
                raise UsageError("--data and --set dataset.path say the same twice", "leave one of them out")
            overrides = {"dataset.path": data, **overrides}

        from twm_cli.progress import reporter
        from twm_core.evaluation.evaluate import Request
        from twm_core.evaluation.evaluate import evaluate as run_evaluation

        saves = out is not None and out.suffix == ".json"
        watcher = reporter("window")
        request = Request(
            target=target,
            dataset=dataset,
            protocol=protocol,
            baselines=tuple(baseline or ()),
            metrics=tuple(metric or ()),
            without=tuple(without or ()),
            split=split,
            samples=samples,
            windows=windows,
            seed=seed,
            checkpoint=checkpoint,
            futures=futures,
            overrides=overrides,
        )
        try:
            result = run_evaluation(request, registry=session.registry, against=against, out=out if saves else None, reporter=watcher)
        finally:
            watcher.finish()
        if plot is not None:
            from twm_core.evaluation.pictures import draw_curves

            draw_curves(result, plot)
        if as_json:
            show_json(result)
            return
        text = report(result) if form == "text" else formatted(result, FORMATS[form])
        if out is not None and not saves:
            _write(out, text)
        else:
            typer.echo(text)

    return evaluate


def _write(file: Path, text: str) -> None:
    try:
        write_text(file, text + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}", "choose another file with --out") from error
