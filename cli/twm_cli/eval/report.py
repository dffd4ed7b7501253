"""The result of an evaluation as text: what was scored, tables as wide as the terminal, and what cannot be seen in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twm_cli.eval.tables import Table, in_brackets, tables
from twm_cli.output import heading, table, width


def report(result: Mapping[str, Any]) -> str:
    """Errors of agents, errors of everything else that is decoded, skills, horizons, comparison."""
    agents = f", {result['agents']} agents" if "agents" in result else ""
    lines = [
        heading(f"{result['dataset']}, split {result['split']}: {result['windows']} windows{agents}"),
        f"protocol    {result['protocol']}" + (f" (hash {result['comparable']['protocol hash'][:16]})" if "comparable" in result else ""),
    ]
    if "checkpoint" in result:
        lines.append(f"checkpoint  {result['checkpoint']} (step {result['step']})")
    if "futures" in result:
        lines.append(f"futures     {result['samples']} from {'its modes' if result['futures'] == 'modes' else 'rollouts of its latents'}")
    if any(each["conditional"] for each in result.get("forecasters", {}).values()):
        lines.append("the model is told the true actions of the predicted steps: compare it with no forecaster that is not")
    for each in tables(result):
        for part in _narrow(each):
            lines += ["", heading(each.title), part]
    if "keys" in result:
        lines += ["", *_keys(result["keys"])]
    lines += [f"{name}: {count}" for name, count in result.get("report", {}).items()]
    lines += _left_out(result.get("left_out", ()))
    return "\n".join(lines)


def _left_out(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """How many usual baselines and metrics were left out, by kind, with their names; a remark says why."""
    for kind in dict.fromkeys(row["kind"] for row in rows):
        names = [row["name"] for row in rows if row["kind"] == kind]
        yield f"left out: {len(names)} {kind}{'s' if len(names) > 1 else ''} ({', '.join(names)})"


def _narrow(whole: Table) -> Iterator[str]:
    """The table in pieces that fit the terminal."""
    body = [[name, *map(in_brackets, cells)] for name, cells in whole.rows]
    head = ["", *whole.columns]
    widths = [max(map(len, column)) + 2 for column in zip(head, *body, strict=True)]
    at = 1
    while at < len(head):
        end, used = at, widths[0]
        while end < len(head) and (end == at or used + widths[end] <= width() + 2):
            used += widths[end]
            end += 1
        rows = [[row[0], *row[at:end]] for row in body]
        yield table([head[0], *head[at:end]], rows, right=range(1, end - at + 1), columns=max(used, width()))
        at = end


def _keys(keys: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is decoded beside agents: each error with those of the baselines, and how it grows with the time."""
    baselines = list(next(iter(keys.values()))["baselines"])
    head: Sequence[str] = ("", "error", "model", *baselines, *(f"skill over {b}" for b in baselines), "-log p")
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


def _digits(value: Any) -> str:
    """Three digits, because the errors of images and of rewards differ by orders of magnitude."""
    return "-" if value is None or value != value else f"{value:.3g}"
