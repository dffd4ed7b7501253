"""CPU time of a DreamerV3 world-model training step and of imagination: twm beside sheeprl and torchrl, taking turns.

    python benchmarks/world_model_step.py --environment ./peers        about 15 minutes, the first time 5 more to install

The peers are installed from the registry into a virtual environment of their own (`--environment`, kept for the next time). All have
the same sizes (7,386,904 parameters with a 24-d vector, 8,390,851 with a 64x64 image), get the same batch (16 x 64), run in float32 on
one thread, and do forward, backward and LaProp with adaptive clipping; imagination is 1,024 states x 15 steps with given actions. Each
round times every worker once; what is reported is the median over rounds and the ratio to the faster peer. Exit status 1 if a
ratio misses its bar (`--check`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
PEERS = ("sheeprl", "torchrl")
JOBS = {"train": (0.75, PEERS), "imagine": (0.85, PEERS), "image": (0.60, ("sheeprl",))}
"""Bar on the ratio to the fastest of these peers."""


def prepare(folder: Path) -> Path:
    """The Python of the peers' environment, which is made if it is not there."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True)
        torch = f"torch=={importlib.metadata.version('torch').partition('+')[0]}"
        subprocess.run([python, "-m", "pip", "install", "-q", torch, *PEERS], check=True)
        (folder / "ready").touch()
    return python


class Worker:
    """A process that runs jobs on demand."""

    def __init__(self, python: Path | str, script: str) -> None:
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            [python, HERE / "peers" / script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
        )
        self.jobs: list[str] = self._answer()

    def run(self, job: str, count: int) -> dict[str, object]:
        """Parameters and CPU milliseconds of `count` runs."""
        assert self.process.stdin is not None
        print(job, count, file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> object:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            raise SystemExit(f"a worker ended:\n{self.process.stderr.read()[-3000:]}")
        return json.loads(line)


def main() -> int:
    """Time everybody and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, default=Path("peers"), help="folder of the peers' virtual environment")
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which everybody is timed once")
    parser.add_argument("--jobs", default=",".join(JOBS), help="some of train,imagine,image")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")
    options = parser.parse_args()
    python = prepare(options.environment)
    workers = {"twm": Worker(sys.executable, "twm_worker.py"), **{p: Worker(python, f"{p}_worker.py") for p in PEERS}}
    missed = False
    for job in options.jobs.split(","):
        bar, peers = JOBS[job]
        rounds = max(2, options.rounds // 3) if job == "image" else options.rounds
        taken: dict[str, list[float]] = {name: [] for name in ("twm", *peers)}
        parameters = {name: workers[name].run(job, 1)["parameters"] for name in taken}  # warm up
        for _ in range(rounds):
            for name, times in taken.items():
                times += workers[name].run(job, 1)["milliseconds"]  # type: ignore[operator]
        medians = {name: statistics.median(times) for name, times in taken.items()}
        fastest = min(medians[p] for p in peers)
        ratios = [t / min(taken[p][i] for p in peers) for i, t in enumerate(taken["twm"])]
        print(f"{job}: {rounds} rounds")
        for name, value in medians.items():
            print(f"  {name:8} {value:9.0f} ms  (least {min(taken[name]):.0f})  {parameters[name]:,} parameters")
        print(f"  twm / fastest peer: {medians['twm'] / fastest:.3f} (rounds {min(ratios):.3f} to {max(ratios):.3f}); bar {bar:.2f}")
        missed |= medians["twm"] / fastest > bar
    return int(missed and options.check)


if __name__ == "__main__":
    raise SystemExit(main())
