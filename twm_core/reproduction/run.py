"""From a table to its numbers: which work there is, doing it, and writing the result. Torch-free; the workers compute."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twm_core import atomic
from twm_core.errors import UsageError
from twm_core.reproduction.jobs import Job, jobs_of, result_of, run_jobs
from twm_core.reproduction.result import combine, to_text
from twm_core.reproduction.table import Table
from twm_core.suggest import did_you_mean


def reproduce(
    name: str,
    table: Table,
    *,
    data: Path,
    out: Path,
    parts: Sequence[str] | None = None,
    seeds: int | None = None,
    rows: Sequence[str] | None = None,
    split: str | None = None,
    jobs: int = 1,
    plugins: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Any], str]:
    """Do all the work of a table that has not been done, and write `OUT/NAME.json` and `OUT/NAME.md`.

    Args:
        name: Name of the table.
        table: The table.
        data: Folder of the recordings.
        out: Folder of runs, results and the table.
        parts: Only these parts; a mean over some is written as such.
        seeds: Only the first so many seeds.
        rows: Only these rows.
        split: Another split than the protocol's.
        jobs: Processes at once.
        plugins: Paths of one-file plugins that the work needs.
        say: Hears a line after each piece of work.

    Returns:
        The table (see `twm_core.reproduction.result.combine`), and its text.

    Raises:
        UsageError: A part or row does not exist, or `out` holds results of something else.
        TwmError: A piece of work failed.
    """
    chosen = _chosen("part", parts, table.names)
    kept = _chosen("row", rows, [r.name for r in table.rows])
    if seeds is not None and seeds > len(table.seeds):
        raise UsageError(f"the table has {len(table.seeds)} seeds, {seeds} were asked for", f"give --seeds 1 to {len(table.seeds)}")
    cut = table.model_copy(
        update={
            "rows": tuple(r for r in table.rows if r.name in kept),
            "bars": tuple(b for b in table.bars if b.row in kept),
            "seeds": table.seeds[:seeds],
        }
    )
    work = jobs_of(cut, data=data, out=out, parts=chosen, seeds=cut.seeds, split=split, plugins=plugins)
    results = {job.name: found for job in work if (found := result_of(job, out)) is not None}
    todo = [job for job in work if job.name not in results]
    say(f"{name}: {len(work)} pieces of work, {len(results)} of them done before, {jobs} at once")
    began = time.monotonic()

    def done(job: Job, found: dict[str, Any]) -> None:
        results[job.name] = found
        spent = found["costs"]["all"]
        say(f"{len(results)}/{len(work)}  {job.name}: {spent['seconds']:.0f} s, {spent['cpu_seconds']:.0f} s of the processor")

    run_jobs(todo, out=out, at_once=jobs, done=done)
    result = combine(name, cut, [(job, results[job.name]) for job in work], parts=chosen)
    result["costs"]["seconds_of_this_call"] = round(time.monotonic() - began, 1)
    text = to_text(result, table.shown)
    atomic.write_text(out / f"{name}.json", json.dumps(result, indent=1))
    atomic.write_text(out / f"{name}.md", text + "\n")
    return result, text


def _chosen(what: str, wanted: Sequence[str] | None, there: Sequence[str]) -> list[str]:
    for name in wanted or ():
        if name not in there:
            raise UsageError(f"the table has no {what} {name!r}{did_you_mean(name, there)}", f"{what}s are {', '.join(there)}")
    return [x for x in there if wanted is None or x in wanted]
