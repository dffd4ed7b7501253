"""What a reproduction ends with: rows to parts and mean to scores, costs, machine, and the bars that were promised. Torch-free."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from twm_core.errors import DataError
from twm_core.reproduction.jobs import Job
from twm_core.reproduction.table import Table

MEAN = "mean"

Scores = dict[str, float | None]
"""Scores by name, None where a score is not known."""


def combine(name: str, table: Table, results: Sequence[tuple[Job, Mapping[str, Any]]], *, parts: Sequence[str]) -> dict[str, Any]:
    """The table from the results of its jobs.

    Args:
        name: Name of the table.
        table: The table.
        results: Every job with its result.
        parts: The parts that were asked for, in order.

    Returns:
        `table`, `rows` (row to part, and to `mean` over all parts, to scores, each the mean over seeds), `seeds` (row to seed to part and
        `mean` to scores), `protocol` (part to what makes it comparable), `costs`, `machine`, `software`, `bars`.

    Raises:
        DataError: Rows of one part were not scored on the same windows.
    """
    protocol: dict[str, Any] = {}
    seeds: dict[str, dict[str, dict[str, Scores]]] = {r.name: {} for r in table.rows}
    for job, result in results:
        shared = {k: v for k, v in result["comparable"].items() if k != "told the actions"}
        if protocol.setdefault(job.part, shared) != shared:
            differs = ", ".join(k for k in shared if shared[k] != protocol[job.part].get(k))
            raise DataError(f"{name}: {job.name} was scored under other conditions than other rows of {job.part}: {differs}", "start anew")
        for row, scores in result["rows"].items():
            # JSON has no NaN: what is not known is null.
            seeds[row].setdefault(str(job.seed), {})[job.part] = {k: v if math.isfinite(v) else None for k, v in scores.items()}
    rows: dict[str, dict[str, Scores]] = {}
    for row, by_seed in seeds.items():
        for by_part in by_seed.values():
            if set(by_part) == set(parts):
                by_part[MEAN] = _mean([by_part[p] for p in parts])
        rows[row] = {p: _mean([s[p] for s in by_seed.values() if p in s]) for p in (*parts, MEAN) if any(p in s for s in by_seed.values())}
    return {
        "table": name,
        "summary": table.about.summary,
        "rows": rows,
        "seeds": seeds,
        "protocol": protocol,
        "costs": _costs(results),
        "machine": machine(),
        "software": {n: metadata.version(n) for n in ("twm", "torch", "numpy")} | {"python": platform.python_version()},
        "bars": [
            {"row": b.row, "score": b.score, "most": b.most, "reached": value, "held": value is not None and value <= b.most}
            for b in table.bars
            for value in [rows.get(b.row, {}).get(MEAN, {}).get(b.score)]
        ],
    }


def _mean(found: Sequence[Scores]) -> Scores:
    """Unweighted means of scores; None where one of them is not known."""
    means: Scores = {}
    for name in found[0]:
        values = [f.get(name) for f in found]
        known = [v for v in values if v is not None]
        means[name] = math.fsum(known) / len(known) if len(known) == len(values) else None
    return means


def _costs(results: Sequence[tuple[Job, Mapping[str, Any]]]) -> dict[str, Any]:
    trained = [r["costs"]["training"] for _, r in results if "training" in r["costs"]]
    return {
        "cpu_seconds": round(sum(_total(r["costs"], "cpu_seconds") for _, r in results), 1),
        "training_cpu_seconds": round(sum(t["cpu_seconds"] for t in trained), 1),
        "most_parameters": max((t["parameters"] for t in trained), default=0),
        "peak_bytes": max(r["peak_bytes"] for _, r in results),
        "jobs": {job.name: {**r["costs"], "peak_bytes": r["peak_bytes"]} for job, r in results},
    }


def _total(costs: Mapping[str, Any], what: str) -> float:
    """Training and evaluation of a job, also where an earlier process did the training."""
    return costs.get("training", {}).get(what, 0.0) + costs["evaluation"][what]


def machine() -> dict[str, Any]:
    """What the figures were measured on: processor, cores, memory, system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def to_text(result: Mapping[str, Any], shown: Sequence[str]) -> str:
    """The rows for people: each score as parts and mean, the costs, and the bars; in Markdown."""
    rows: Mapping[str, Mapping[str, Scores]] = result["rows"]
    columns = list(dict.fromkeys(c for by_part in rows.values() for c in by_part))
    if len(columns) == 2:  # a mean over one part says nothing more
        columns = columns[:1]
    lines = [result["summary"]]
    for score in shown:
        if not any(score in s for by_part in rows.values() for s in by_part.values()):
            continue
        lines += ["", f"**{score}**", "", f"| row | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
        for name, by_part in rows.items():
            cells = [_cell(by_part.get(c, {}).get(score)) for c in columns]
            if any(c != "-" for c in cells):
                lines.append(f"| {name} | {' | '.join(cells)} |")
    costs, kit = result["costs"], result["machine"]
    minutes, training = costs["cpu_seconds"] / 60, costs["training_cpu_seconds"] / 60
    sizes = f"at most {costs['most_parameters']:,} parameters and {costs['peak_bytes'] / 2**30:.2f} GiB in a process"
    spent = f"{minutes:.1f} minutes of the processor in all, {training:.1f} of them training"
    lines += ["", f"{spent}; {sizes}; {kit['processor']}, {kit['cores']} cores"]
    for bar in result["bars"]:
        verdict = "not measured" if bar["reached"] is None else f"{bar['reached']:.3f}, {'held' if bar['held'] else 'missed'}"
        lines.append(f"bar: {bar['row']}, mean {bar['score']} at most {bar['most']:g}: {verdict}")
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3f}"
