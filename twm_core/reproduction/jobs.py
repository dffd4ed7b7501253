"""The pieces of work that a table consists of, each done by a process of its own: the baselines of a part, or a model of a part and seed.

A piece of work is described by a JSON file and leaves another one with its scores and costs. Whatever has been done is not done again, so a
reproduction that was interrupted goes on where it stopped; a model's training is resumed from its checkpoint. Each process has one thread,
whatever else runs, so that numbers do not depend on how many run at once. Torch-free.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twm_core import atomic
from twm_core.errors import TwmError, UsageError
from twm_core.reproduction.table import Row, Table

_LAST_LINES = 12


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        name: Its name, which is also that of its files.
        part: The part of the table.
        seed: Seed of the model; None for baselines.
        rows: The rows that it fills.
        spec: What the worker is told.
        owner: The distribution whose components bare names mean first. It decides which code runs, not what the table says.
    """

    name: str
    part: str
    seed: int | None
    rows: tuple[Row, ...]
    spec: dict[str, Any]
    owner: str | None = None

    @property
    def digest(self) -> str:
        """What a result must have been made from to count."""
        return hashlib.sha256(json.dumps(self.spec, sort_keys=True).encode()).hexdigest()


def jobs_of(
    table: Table, *, data: Path, out: Path, parts: Sequence[str], seeds: Sequence[int], split: str | None, plugins: Sequence[str] = ()
) -> list[Job]:
    """All pieces of work, models first, because they take longest."""
    made: list[Job] = []
    field = None if table.parts is None else table.parts.field
    common = {"protocol": table.protocol, "data": {table.data: str(data.resolve())}, "split": split, "part_field": field}
    common |= {"fields": dict(table.fields), "plugins": list(plugins)}
    for name, model in table.models.items():
        rows = tuple(r for r in table.rows if r.model == name)
        for seed in seeds[: model.seeds]:
            for part in parts if rows else ():
                title = f"{name}-{part}-{seed}"
                spec = {
                    **common,
                    "part": part,
                    "preset": model.preset,
                    "options": {
                        **model.options,
                        **({f"dataset.{field}": part} if field else {}),
                        "training.seed": seed,
                        "training.threads": 1,
                    },
                    "run": str((out / "runs" / title).resolve()),
                    "rows": [[r.name, r.futures] for r in rows],
                }
                made.append(Job(title, part, seed, rows, spec, table.owner))
    baselines = tuple(r for r in table.rows if r.baseline is not None)
    for part in parts if baselines else ():
        spec = {**common, "part": part, "baselines": [[r.name, r.baseline] for r in baselines]}
        made.append(Job(f"baselines-{part}", part, None, baselines, spec, table.owner))
    return made


def result_of(job: Job, out: Path) -> dict[str, Any] | None:
    """The result of a job that has been done, None if it has not.

    Raises:
        UsageError: It was made from another table, other options or other data.
    """
    path = out / "results" / f"{job.name}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found.get("made_from") != job.digest:
        raise UsageError(f"{path} was made from another table or with other options", "choose another --out folder")
    return found


def run_jobs(jobs: Sequence[Job], *, out: Path, at_once: int, done: Callable[[Job, dict[str, Any]], None]) -> None:
    """Do what has not been done, `at_once` jobs at a time, and call `done` after each.

    Raises:
        TwmError: A job failed; the others that were under way are stopped, and what was done is kept.
    """
    for folder in ("results", "jobs", "logs"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    running: dict[str, subprocess.Popen[bytes]] = {}
    stopping = False

    def work(job: Job) -> dict[str, Any]:
        if stopping:
            raise _Stopped
        spec, log = out / "jobs" / f"{job.name}.json", out / "logs" / f"{job.name}.log"
        target = out / "results" / f"{job.name}.json"
        more = {"made_from": job.digest, "result": str(target.resolve()), "owner": job.owner}
        atomic.write_text(spec, json.dumps({**job.spec, **more}, indent=1))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "twm_core.reproduction.worker", str(spec)], stdout=stream, stderr=subprocess.STDOUT, env=environment
            )
            running[job.name] = process
            status = process.wait()
        del running[job.name]
        found = result_of(job, out)
        if status or found is None:
            if stopping:
                raise _Stopped
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
            raise TwmError(f"{job.name} failed with status {status}:\n  " + "\n  ".join(lines), f"its whole output is in {log}")
        return found

    with ThreadPoolExecutor(max(1, at_once)) as pool:
        waiting = {pool.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                done(waiting[future], future.result())
        except BaseException:
            stopping = True
            for future in waiting:
                future.cancel()
            for process in list(running.values()):
                process.terminate()
            raise


class _Stopped(Exception):
    """A job that was not done because another one failed, or because of Ctrl-C."""
