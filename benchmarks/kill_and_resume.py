"""Kill a training run with SIGKILL at random moments, resume it each time, and compare the end with an uninterrupted run.

    python benchmarks/kill_and_resume.py --kills 20

Every child process is `twm train` on a tiny recipe that saves every second step. One kill in five comes while the process starts, the
others at a random moment of training, where they hit computing, saving and the removal of old checkpoints alike. After each kill every
file of the checkpoint that would be resumed is checked against its sha256. At the end all files of the last checkpoint and metrics.jsonl
must equal the uninterrupted run's byte for byte. One line is printed for each kill; the exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twm_core.checkpoint.manifest import RunFolder, verify_files

RECIPE = Path(__file__).parents[1] / "tests" / "tiny.toml"


def command(run: Path, recipe: Path, steps: int) -> list[str]:
    """What starts the run, or resumes it where it has a checkpoint."""
    twm = [sys.executable, "-m", "twm_cli", "train", "--run", str(run)]
    if RunFolder(run).names():
        return [*twm, "--resume"]
    return [*twm, "-c", str(recipe), "--steps", str(steps), "--training.checkpoint_every", "2"]


def environment() -> dict[str, str]:
    """One thread: the bits of a sum depend on how it is split."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


class Life:
    """One process of `twm train`, started or resumed.

    Args:
        run: The run folder.
        recipe: Recipe file of a new run.
        steps: Steps of the whole run.
    """

    def __init__(self, run: Path, recipe: Path, steps: int) -> None:
        self._started = time.monotonic()
        self._child = subprocess.Popen(
            command(run, recipe, steps), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._said: list[str] = []

    def wait_for_training(self) -> float:
        """Wait until the first step begins (or the process has ended) and return the seconds since its start."""
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._said.append(line)
            if line.startswith("world model with"):
                break
        return time.monotonic() - self._started

    def wait_for_end(self, seconds: float | None = None) -> bool:
        """Whether the process ends by itself within some seconds.

        Raises:
            RuntimeError: It failed.
        """
        try:
            _, rest = self._child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        if self._child.returncode:
            raise RuntimeError(f"twm train ended with status {self._child.returncode}:\n{''.join(self._said)}{rest}")
        return True

    def kill(self) -> None:
        """Kill it at once."""
        self._child.send_signal(signal.SIGKILL)
        self._child.communicate()


def state(run: Path) -> str:
    """What a kill left: the step to resume from, its files checked, and what else lies about.

    Raises:
        CheckpointError: The checkpoint that would be resumed is damaged.
    """
    folder = RunFolder(run)
    unfinished = sorted(p.name for p in run.rglob(".unfinished-*") if p.parent in (run, folder.checkpoints))
    left = f"; unfinished: {', '.join(unfinished)}" if unfinished else ""
    if not folder.names():
        return f"no checkpoint yet{left}"
    return f"step {verify_files(folder.find('latest'))['step']} is whole{left}"


def differences(run: Path, uninterrupted: Path) -> list[str]:
    """Files of the last checkpoint, and metrics.jsonl, that are not byte for byte the same in both runs."""
    folders = [RunFolder(r).find("latest") for r in (run, uninterrupted)]
    names = sorted({p.name for f in folders for p in f.iterdir()})
    pairs = [(folders[0] / n, folders[1] / n) for n in names] + [(run / "metrics.jsonl", uninterrupted / "metrics.jsonl")]
    return [str(a) for a, b in pairs if not (a.is_file() and b.is_file() and a.read_bytes() == b.read_bytes())]


def kill_and_resume(
    folder: Path, *, kills: int, seed: int, steps: int, recipe: Path = RECIPE, say: Callable[[str], None] = print
) -> list[str]:
    """Train twice below `folder`, once undisturbed and once killed `kills` times, and return what differs.

    Where the disturbed run ends before all kills are spent, the next kills hit another such run.
    """
    undisturbed = folder / "undisturbed"
    started = time.monotonic()
    life = Life(undisturbed, recipe, steps)
    starting = life.wait_for_training()
    life.wait_for_end()
    training = time.monotonic() - started - starting
    say(f"undisturbed run: {starting:.1f} s until the first step, {training:.1f} s for {steps} steps")
    chance, found, runs, done = random.Random(seed), [], 1, 0
    seen: set[str] = set()
    run = folder / "killed-1"
    while done < kills:
        life = Life(run, recipe, steps)
        if chance.random() < 0.2:
            where, seconds = "starting", chance.uniform(0, starting)
        else:
            # On average all kills together use up half of the training: mostly one run takes them all.
            where, seconds = "training", chance.uniform(0, 1.25 * training / kills)
            life.wait_for_training()
        if life.wait_for_end(seconds):
            found += differences(run, undisturbed)
            runs += 1
            run = folder / f"killed-{runs}"
            continue
        life.kill()
        done += 1
        after = state(run)
        seen.add(after)
        say(f"kill {done:2}/{kills} after {seconds:5.2f} s of {where} in {run.name}: {after}")
    Life(run, recipe, steps).wait_for_end()
    found += differences(run, undisturbed)
    verdict = f"DIFFERENT: {', '.join(found)}" if found else "the end is bit-identical to the undisturbed run's"
    say(f"{done} kills in {runs} run{'s' if runs > 1 else ''}, {len(seen)} different states: {verdict}")
    return found


def main() -> int:
    """Run with the words of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 1 if kill_and_resume(Path(folder), kills=given.kills, seed=given.seed, steps=given.steps, recipe=given.recipe) else 0


if __name__ == "__main__":
    sys.exit(main())
