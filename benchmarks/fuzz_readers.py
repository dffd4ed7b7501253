"""Damaged files against every reader: `python benchmarks/fuzz_readers.py [--reader NAME ...] [--examples 2000]`.

Each reader writes its example; every hypothesis example damages one or two of the files (`twm_core.testing.fuzz`) and imports them.
Allowed are a store that validates without a problem, and one `DataError` that names a file; then nothing may be left behind. Anything
else ends the run with the damage that caused it: another exception, a crash, more than `--seconds` for one import, a leftover.
Prints, for each reader, how many damaged copies were imported and how many refused, and how many refusals also name a place in the file.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from twm_core.data.importing.importer import import_sources
from twm_core.data.importing.reader import Reader
from twm_core.data.store.validation import validate_store
from twm_core.errors import DataError
from twm_core.plugin.registry import discover
from twm_core.testing.fuzz import damage

PLACE = re.compile(
    r"(row|line|record|byte|step|state) \d|column|track|object|obstacle|lanelet|lane |scene|key |element|offset", re.IGNORECASE
)


class Hang(Exception):
    """An import took too long."""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise Hang("this import takes too long")


def fuzz(name: str, reader: Reader, examples: int, seconds: int, place: Path) -> Counter[str]:
    """Import `examples` damaged copies of a reader's example."""
    counts: Counter[str] = Counter()
    clean = place / "clean"
    clean.mkdir()
    paths = [p.relative_to(clean) for p in reader.example(clean)]
    files = sorted({f.relative_to(clean) for s in reader.sources([clean / p for p in paths]) for f in s.files})
    signal.signal(signal.SIGALRM, _too_long)

    @settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @seed(1)
    @given(st.integers(0, 2**63 - 1))
    def once(number: int) -> None:
        draw = random.Random(number)
        work = place / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(clean, work / "data")
        for victim in draw.sample(files, min(len(files), draw.choice((1, 1, 2)))):
            path = work / "data" / victim
            path.write_bytes(damage(path.read_bytes(), draw))
        signal.alarm(seconds)
        try:
            import_sources(reader, [work / "data" / p for p in paths], work / "out.twm", reader_name=name, options={})
        except DataError as error:
            counts["refused"] += 1
            counts["refusals that name a place in the file"] += bool(PLACE.search(error.message))
            if not any(f.name in error.message for f in files):
                raise AssertionError(f"[damage {number}] refused without naming a file: {error.message}") from error
            left = sorted(p.name for p in work.iterdir() if p.name != "data")
            if left:
                raise AssertionError(f"[damage {number}] refused, but left {left} behind") from error
        except Exception as error:
            raise AssertionError(f"[damage {number}] {type(error).__name__}: {error}") from error
        else:
            counts["imported"] += 1
            problems = validate_store(work / "out.twm")
            if problems:
                raise AssertionError(f"[damage {number}] imported, but the store has problems: {problems}")
        finally:
            signal.alarm(0)

    once()
    return counts


def main() -> int:
    """Run, print a line for each reader, and return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--reader", action="append", help="only this reader (may be repeated)")
    parser.add_argument("--examples", type=int, default=2000, help="damaged copies for each reader")
    parser.add_argument("--seconds", type=int, default=20, help="longest time of one import")
    options = parser.parse_args()
    failed = 0
    for registered in discover().components("reader"):
        name = registered.component.name
        if options.reader and name not in options.reader:
            continue
        reader = registered.load_build()(registered.load_config()())
        began = time.process_time()
        with tempfile.TemporaryDirectory(prefix="twm-fuzz-") as place:
            try:
                counts = fuzz(name, reader, options.examples, options.seconds, Path(place))
                text = ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))
            except AssertionError as error:
                failed += 1
                text = f"FAILED {str(error)[:2000]}"
        print(f"{name:20} {text}  ({time.process_time() - began:.0f} s CPU)", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
