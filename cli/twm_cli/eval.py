"""`twm eval`: a trained world model's forecast errors beside those of the baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from twm_cli.output import heading, show_json, table
from twm_cli.session import Session
from twm_cli.words import parse_setting

_ERRORS = ("ade", "fde", "minade", "minfde")


def command(session: Session) -> Callable[..., None]:
    """The command function."""

    def evaluate(
        run: Annotated[Path, typer.Argument(help="Run folder or checkpoint.")],
        split: Annotated[str, typer.Option(metavar="train|val|test", help="Which windows to score.")] = "test",
        samples: Annotated[int, typer.Option(min=1, help="Futures for each window (S).")] = 6,
        windows: Annotated[int | None, typer.Option(min=1, help="Most windows to score, evenly spaced; all if not given.")] = None,
        seed: Annotated[int, typer.Option(min=0, help="Seed of the futures.")] = 0,
        checkpoint: Annotated[str, typer.Option(metavar="best|latest|step-N", help="Which checkpoint of the run.")] = "best",
        settings: Annotated[
            list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change an option, for example dataset.path=DIR.")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
        plugin: Annotated[list[Path] | None, typer.Option("--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")] = None,
    ) -> None:
        """Measure a trained world model against the baselines."""
        session.warn(*session.warnings)
        overrides = dict(parse_setting(s) for s in settings or ())

        from twm_cli.progress import reporter
        from twm_core.evaluation import evaluate as run_evaluation

        watcher = reporter("window")
        try:
            result = run_evaluation(
                run,
                registry=session.registry,
                split=split,
                samples=samples,
                windows=windows,
                seed=seed,
                checkpoint=checkpoint,
                overrides=overrides,
                reporter=watcher,
            )
        finally:
            watcher.finish()
        if as_json:
            show_json(result)
        else:
            typer.echo(report(result))

    return evaluate


def report(result: Mapping[str, Any]) -> str:
    """The result of an evaluation for people: errors of agents in metres, errors of everything else that is decoded, skills, horizons."""
    agents = f", {result['agents']} agents" if "agents" in result else ""
    lines = [
        heading(f"{result['dataset']}, split {result['split']}: {result['windows']} windows{agents}"),
        f"protocol    {result['protocol'] or 'none'}",
        f"checkpoint  {result['checkpoint']} (step {result['step']})",
    ]
    if "model" in result:
        lines += ["", *_agents(result)]
    if "keys" in result:
        lines += ["", *_keys(result["keys"])]
    lines += [f"{name}: {count}" for name, count in result.get("report", {}).items()]
    return "\n".join(lines)


def _agents(result: Mapping[str, Any]) -> list[str]:
    rivals: dict[str, Mapping[str, Any]] = {"model": result["model"], **result["baselines"]}
    base = result["baselines"].get("constant_velocity", {}).get("ade")
    samples = result["samples"]
    rows = []
    for name, scores in rivals.items():
        skill = 1 - scores["ade"] / base if base and scores["ade"] is not None else None
        rows.append([name, *(_number(scores.get(e)) for e in _ERRORS), _number(skill), _number(scores.get("existence_f1"))])
    head = ("", "ADE m", "FDE m", f"minADE_{samples} m", f"minFDE_{samples} m", "skill", "existence F1")
    return [
        table(head, rows, right=range(1, len(head))),
        "",
        *_intervals(result),
        "",
        heading("mean error up to a time, ADE in m"),
        _horizons(rivals),
    ]


def _keys(keys: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is decoded beside agents: each error with those of the baselines, and how it grows with the time."""
    baselines = list(next(iter(keys.values()))["baselines"])
    head = ("", "error", "model", *baselines, *(f"skill over {b}" for b in baselines), "-log p")
    rows = []
    for name, found in keys.items():
        numbers = (found["model"], *(found["baselines"][b] for b in baselines), *(found["skill"][b] for b in baselines), found["nll"])
        rows.append([name, found["measure"].replace("_", " "), *map(_digits, numbers)])
    lines = [
        heading("errors of the forecast, mean over all predicted steps"),
        table(head, rows, right=range(2, len(head))),
        "",
        "skill = 1 - error / error of the baseline; -log p in nats, to be compared only where p is a density",
        "",
        heading("error at a time"),
    ]
    horizon = next(iter(keys.values()))["by_horizon"]
    shown = sorted({0, len(horizon) // 4, len(horizon) // 2, 3 * len(horizon) // 4, len(horizon) - 1})
    rows = [
        [name if rival == "model" else "", rival, *(_digits(found["by_horizon"][h][rival]) for h in shown)]
        for name, found in keys.items()
        for rival in ("model", *baselines)
    ]
    head = ("", "", *(f"{horizon[h]['seconds']:g} s" for h in shown))
    return [*lines, table(head, rows, right=range(2, len(head)))]


def _intervals(result: Mapping[str, Any]) -> list[str]:
    intervals = result.get("intervals", {})
    unit, level = intervals.get("unit", "agent"), intervals.get("level", 0.95)
    lines = ["skill = 1 - ADE / ADE of constant velocity"]
    for name, label in (("skill", "ADE"), ("skill_minade", f"minADE_{result['samples']}")):
        if name in result:
            low, high = intervals.get(name, (None, None))
            line = f"skill on {label}: {_number(result[name])}"
            if low is not None:
                line += (
                    f", {100 * level:g} % interval {_number(low)} to {_number(high)} (bootstrap over {intervals.get('resampled')} {unit}s)"
                )
            lines.append(line)
    return lines


def _horizons(rivals: Mapping[str, Mapping[str, Any]]) -> str:
    at: Sequence[Mapping[str, Any]] = rivals["model"]["by_horizon"]
    head = ["", *(f"{row['seconds']:g} s" for row in at)]
    rows = [[name, *(_number(row.get("ade")) for row in scores["by_horizon"])] for name, scores in rivals.items()]
    return table(head, rows, right=range(1, len(head)))


def _digits(value: Any) -> str:
    """Three digits, because the errors of images and of rewards differ by orders of magnitude."""
    return "-" if value is None or value != value else f"{value:.3g}"


def _number(value: Any) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"
