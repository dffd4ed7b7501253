"""CPU time of a training run on idle cores, and beside a job that occupies every core.

    python benchmarks/busy_cores.py               about 8 minutes on two cores

Runs the command of the README twice: alone, and beside one busy process for each core. Bar: the CPU seconds of the second are at most 1.3
times those of the first. Start it on a machine that does nothing else. Exits 1 where the bar is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR = 1.3
BUSY = "while True: sum(range(10_000))"


def trained(run: Path, steps: int, words: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a run."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    chosen = ["--encoder", "multiagent", "--dynamics", "rssm-cat", "--steps", str(steps), "--run", str(run), *words]
    subprocess.run([sys.executable, "-m", "twm_cli", "train", *chosen], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Time both and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("words", nargs="*", help="more options of twm train, after --")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        alone = trained(Path(place, "alone"), options.steps, options.words)
        print(f"alone:  {alone[0]:.0f} s wall, {alone[1]:.0f} s CPU", flush=True)
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
        try:
            beside = trained(Path(place, "beside"), options.steps, options.words)
        finally:
            for other in others:
                other.kill()
            # Waited for only now: until then their CPU time does not count among that of ended children.
            for other in others:
                other.wait()
    ratio = beside[1] / alone[1]
    print(f"beside: {beside[0]:.0f} s wall, {beside[1]:.0f} s CPU, {ratio:.2f} times (bar {BAR})")
    return int(ratio > BAR)


if __name__ == "__main__":
    raise SystemExit(main())
