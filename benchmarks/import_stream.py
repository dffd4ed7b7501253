"""Import a CSV that is larger than memory ought to hold, kill the import half way, continue it, and compare the two stores.

    python benchmarks/import_stream.py --gigabytes 2 --dir /tmp/import

A file with the official columns of NGSIM is generated: a motorway of five lanes, 640 m long, vehicle after vehicle, as the publisher's
files are. It is imported by the reader `ngsim` in a process of its own, whose peak memory (VmHWM, which counts mapped files too), wall
time and CPU time are printed; then again in a process that is killed (SIGKILL) when half of the scenarios are written, and continued. The
two stores must be the same bytes, and both must validate. The exit status is 1 if they are not, or if memory peaks above `--most` GB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

FOOT = 0.3048
ROAD, LANES, HEADWAY, DT = 640.0, 5, 2.4, 0.1
LONGEST = 700
BEGINNING = 1_118_846_980_000
"""Milliseconds of the first frame."""


def along(lane: int, t: np.ndarray) -> np.ndarray:
    """How far the traffic of a lane has come at time `t`: its speed swings, but no vehicle catches up with another."""
    mean, swing, period = 13.0 + lane, 3.0, 90.0
    return mean * t - swing * period / (2 * np.pi) * np.cos(2 * np.pi * t / period)


def vehicles(lane: int, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of some vehicles of one lane, vehicle by vehicle; vehicle `n` enters `n` headways after the beginning."""
    enter = np.round(numbers * HEADWAY / DT + lane * 3).astype(np.int64)
    step = np.arange(LONGEST)[None, :]
    t = (enter[:, None] + step) * DT
    y = along(lane, t) - along(lane, enter * DT)[:, None]
    inside = y < ROAD
    frames = inside.sum(axis=1)
    own, at = np.nonzero(inside)
    frame = enter[own] + at

    def there(other: np.ndarray) -> np.ndarray:
        """Name of another vehicle of the lane, 0 where it is not on the road then."""
        since = frame - np.round(other * HEADWAY / DT + lane * 3).astype(np.int64)
        far = along(lane, frame * DT) - along(lane, (frame - since) * DT)
        return np.where((other >= 0) & (since >= 0) & (far < ROAD), other * LANES + lane + 1, 0)

    speed = np.gradient(along(lane, frame * DT + np.array([[0.0], [DT]])), axis=0)[0] / DT
    rng = np.random.default_rng(lane * 1_000_003 + int(numbers[0]))
    length = rng.uniform(13, 19, len(numbers))[own]
    x = (lane + 0.5) * 12 + np.sin(0.05 * t[own, at] + own) * 1.5
    return {
        "Vehicle_ID": numbers[own] * LANES + lane + 1,
        "Frame_ID": frame,
        "Total_Frames": frames[own],
        "Global_Time": BEGINNING + frame * 100,
        "Local_X": np.round(x, 3),
        "Local_Y": np.round(y[own, at] / FOOT, 3),
        "Global_X": np.round(6_451_137.641 + x, 3),
        "Global_Y": np.round(1_873_344.962 + y[own, at] / FOOT, 3),
        "v_Length": np.round(length, 1),
        "v_Width": np.full(len(own), 6.5),
        "v_Class": np.full(len(own), 2),
        "v_Vel": np.round(speed / FOOT, 2),
        "v_Acc": np.zeros(len(own)),
        "Lane_ID": np.full(len(own), lane + 1),
        "O_Zone": None,
        "D_Zone": None,
        "Int_ID": None,
        "Section_ID": None,
        "Direction": None,
        "Movement": None,
        "Preceding": there(numbers[own] - 1),
        "Following": there(numbers[own] + 1),
        "Space_Headway": np.zeros(len(own)),
        "Time_Headway": np.zeros(len(own)),
        "Location": "us-101",
    }


def generate(file: Path, size: int) -> int:
    """Write about so many bytes and return the number of rows."""
    import pyarrow as pa
    from pyarrow import csv

    writer: csv.CSVWriter | None = None
    rows = 0
    with open(file, "wb") as stream:
        for block in range(0, 10**9, 40):
            for lane in range(LANES):
                made = vehicles(lane, np.arange(block, block + 40))
                count = len(made["Vehicle_ID"])
                made = {n: pa.nulls(count, pa.int64()) if v is None else [v] * count if isinstance(v, str) else v for n, v in made.items()}
                table = pa.table(made)
                if writer is None:
                    writer = csv.CSVWriter(stream, table.schema, write_options=csv.WriteOptions(quoting_style="none"))
                writer.write_table(table)
                rows += count
            if stream.tell() >= size:
                break
        assert writer is not None
        writer.close()
    return rows


def work(source: Path, out: Path) -> None:
    """What the measured process does."""
    from twm_core.data.importing.importer import import_sources
    from twm_core.plugin.registry import discover

    found = discover().find("reader", "ngsim")
    config = found.load_config()()
    report = import_sources(found.load_build()(config), [source], out, reader_name="ngsim", options=config.model_dump())
    peak = next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    used = resource.getrusage(resource.RUSAGE_SELF)
    facts = {"peak_gb": peak * 1024 / 1e9, "cpu": used.ru_utime + used.ru_stime, "scenarios": report.scenarios, "states": report.states}
    print(json.dumps({**facts, "resumed": report.resumed}))


def start(source: Path, out: Path) -> subprocess.Popen[str]:
    """The measured process."""
    command = [sys.executable, __file__, "--dir", str(source), "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measured(source: Path, out: Path, what: str) -> dict[str, Any]:
    """Run it to its end and print its numbers."""
    began = time.monotonic()
    process = start(source, out)
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{what}: the import failed")
    facts = json.loads(said)
    wall = time.monotonic() - began
    print(
        f"{what}: {facts['scenarios']} scenarios, {facts['states']:,} states; peak {facts['peak_gb']:.2f} GB,"
        f" {wall:.0f} s wall, {facts['cpu']:.0f} s CPU",
        flush=True,
    )
    return facts


def interrupted(source: Path, out: Path, scenarios: int) -> None:
    """Start it and kill it when so many scenarios are written."""
    began = time.monotonic()
    process = start(source, out)
    journal = out.with_name(f"{out.name}.partial") / "journal.jsonl"
    written = 0
    while written < scenarios and process.poll() is None:
        time.sleep(0.05)
        written = journal.read_bytes().count(b'["scenario"') if journal.exists() else 0
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(f"killed after {written} scenarios, {time.monotonic() - began:.0f} s", flush=True)


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file."""
    found = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        with open(file, "rb") as stream:
            found[file.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--dir", type=Path, required=True, help="Where to work; three to four times the size is needed.")
    parser.add_argument("--most", type=float, default=1.0, help="Most GB of memory.")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.out is not None:
        work(options.dir, options.out)
        return 0
    from twm_core.data.store.validation import validate_store

    options.dir.mkdir(parents=True, exist_ok=True)
    source, whole, again = options.dir / "us-101.csv", options.dir / "whole.twm", options.dir / "again.twm"
    began = time.monotonic()
    rows = generate(source, int(options.gigabytes * 1e9))
    print(f"generated {source.stat().st_size / 1e9:.2f} GB, {rows:,} rows in {time.monotonic() - began:.0f} s", flush=True)
    first = measured(source, whole, "uninterrupted")
    interrupted(source, again, max(1, first["scenarios"] // 2))
    second = measured(source, again, "continued")
    stored = sum(f.stat().st_size for f in whole.rglob("*"))
    same = hashes(whole) == hashes(again)
    problems = validate_store(whole)
    peak = max(first["peak_gb"], second["peak_gb"])
    print(f"stores of {stored / 1e9:.2f} GB: {'the same bytes' if same else 'DIFFERENT'}; {len(problems)} problems; peak {peak:.2f} GB")
    good = same and not problems and second["resumed"] and peak <= options.most and first["states"] == rows
    for path in (source, whole, again):
        shutil.rmtree(path) if path.is_dir() else os.unlink(path)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
