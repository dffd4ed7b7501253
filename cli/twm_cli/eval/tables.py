"""The tables of an evaluation, and three ways to write them: Markdown, LaTeX (booktabs), and CSV with one line for each number.

A table has a row for each forecaster and a column for each score; a cell holds the score with its interval.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Result = Mapping[str, Any]
DISTANCES = {"ade": "ADE", "fde": "FDE", "minade": "minADE", "minfde": "minFDE", "minjointade": "minJointADE", "minjointfde": "minJointFDE"}
SHORT = {
    **DISTANCES,
    "f1": "existence F1",
    "kde_nll": "KDE-NLL",
    "density_nll": "NLL",
    "crps_along": "CRPS along",
    "crps_across": "CRPS across",
    "pit_deviation": "PIT deviation",
    "mode_ece": "ECE of futures",
    "existence_ece": "ECE of existence",
    "moving_ade": "moving ADE",
    "moving_minade": "moving minADE",
}
REFERENCE = "constant-velocity"
OF_SAMPLES = ("minade", "minfde", "minjointade", "minjointfde")


@dataclass(frozen=True)
class Cell:
    """A number with its interval; None where it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Table:
    """One table: a title, names of columns, and rows of a name and cells."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]


def tables(result: Result) -> list[Table]:
    """Marginal and joint scores, scores at a time, skills, and the comparison, where there are any."""
    if "forecasters" not in result:
        return []
    scores = result["scores"]
    found: list[Table] = []
    for over, word in (("agents", "marginal"), ("windows", "joint")):
        cluster = result["clusters"][over]
        of = [n for n, s in scores.items() if s["over"] == over and s["at"] is None]
        how = f"{100 * cluster['level']:g} % intervals: bootstrap over {cluster['resampled']} {cluster['unit']}s"
        found.append(Table(f"{word}: mean over {over} ({how})", [label(n, result) for n in of], _rows(result, of)))
    bases = list(dict.fromkeys(n.split("@")[0] for n, s in scores.items() if s["at"] is not None))
    for base in bases:
        of = [n for n, s in scores.items() if s["at"] is not None and n.split("@")[0] == base]
        title = {"error": "distance of the mean at a time", "ade": "mean distance up to a time (ADE)"}.get(base, f"{base} at a time")
        unit = scores[of[0]]["unit"]
        found.append(Table(title + (f", {unit}" if unit else ""), [f"{scores[n]['at']:g} s" for n in of], _rows(result, of)))
    found.append(_skills(result))
    if "comparison" in result:
        found.append(_comparison(result))
    return [t for t in found if t.columns and t.rows]


def label(name: str, result: Result) -> str:
    """A score's name for people, with its unit."""
    score = result["scores"][name]
    text = SHORT.get(name, name.replace("_", " "))
    if name in OF_SAMPLES:
        text += f"_{result['samples']}"
    return f"{text} {score['unit']}".strip()


def _rows(result: Result, names: Sequence[str]) -> list[tuple[str, list[Cell]]]:
    return [
        (who, [Cell(each["scores"].get(n), *each["intervals"].get(n, (None, None))) for n in names])
        for who, each in result["forecasters"].items()
    ]


def _skills(result: Result) -> Table:
    names = [n for n in DISTANCES if any(n in each["skill"] for each in result["forecasters"].values())]
    rows = []
    for who, each in result["forecasters"].items():
        if who == REFERENCE:
            continue
        cells = [each["skill"].get(n, {"value": None, "interval": (None, None)}) for n in names]
        rows.append((who, [Cell(c["value"], *c["interval"]) for c in cells]))
    return Table(f"skill: 1 - score / score of {REFERENCE}", [label(n, result).removesuffix(" m") for n in names], rows)


def _comparison(result: Result) -> Table:
    found = result["comparison"]
    title = f"{found['forecaster']} against {found['against']['forecaster']} of {found['against']['result']}, in pairs"
    rows = [
        (label(n, result), [Cell(s["mine"]), Cell(s["other"]), Cell(s["difference"], *s["interval"]), Cell(s["p"])])
        for n, s in found["scores"].items()
    ]
    return Table(title, ["here", "there", "difference", "p"], rows)


def number(value: float | None) -> str:
    """Three decimals, or three digits where those would show nothing; `-` where it is not known."""
    if value is None or value != value:
        return "-"
    # Sums of numbers that cancel leave rounding errors.
    return f"{value:.3f}" if abs(value) < 1e-12 or 0.001 <= abs(value) < 1000 else f"{value:.3g}"


def in_brackets(cell: Cell) -> str:
    """`0.520 [0.481, 0.570]`."""
    low, high = number(cell.low), number(cell.high)
    return number(cell.value) if "-" in (low, high) else f"{number(cell.value)} [{low}, {high}]"


def markdown(result: Result) -> str:
    """All tables in Markdown, each under a heading."""
    parts = [f"## {_headline(result)}"]
    for table in tables(result):
        lines = [["", *table.columns], ["---", *("---:" for _ in table.columns)]]
        lines += [[name, *map(in_brackets, cells)] for name, cells in table.rows]
        body = "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines)
        parts += [f"### {table.title}", body]
    return "\n\n".join(parts)


def latex(result: Result) -> str:
    """All tables in LaTeX, for the package booktabs."""
    parts = [f"% {_headline(result)}"]
    for table in tables(result):
        rows = [" & ".join([_tex(name), *(_tex(in_brackets(c)) for c in cells)]) + r" \\" for name, cells in table.rows]
        lines = [
            r"\begin{table}",
            rf"\caption{{{_tex(table.title)}}}",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            " & ".join(["", *map(_tex, table.columns)]) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def as_csv(result: Result) -> str:
    """One line for each forecaster and score, every digit kept; skills and the comparison in columns of their own."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["forecaster", "score", "metric", "unit", "seconds", "value", "low", "high", "skill", "skill_low", "skill_high"])
    for who, each in result.get("forecasters", {}).items():
        for name, value in each["scores"].items():
            score, skill = result["scores"][name], each["skill"].get(name, {"value": None, "interval": (None, None)})
            numbers = [value, *each["intervals"][name], skill["value"], *skill["interval"]]
            known = ["" if v is None or v != v else repr(float(v)) for v in numbers]
            writer.writerow([who, name, score["metric"], score["unit"], "" if score["at"] is None else f"{score['at']:g}", *known])
    return stream.getvalue().rstrip("\n")


FORMATS: Mapping[str, Callable[[Result], str]] = {"markdown": markdown, "latex": latex, "csv": as_csv}


def formatted(result: Result, write: Callable[[Result], str]) -> str:
    """The tables of agents; what is decoded beside agents is printed as text or JSON only."""
    return write(result)


def _headline(result: Result) -> str:
    counts = f"{result['windows']} windows" + (f", {result['agents']} agents" if "agents" in result else "")
    return f"{result['protocol']}, split {result['split']}, {result['samples']} futures: {counts}"


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _tex(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda m: _SPECIAL.get(m[0], "\\" + m[0]), text)
