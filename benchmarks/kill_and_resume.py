"""Kill a training run with SIGKILL at random moments, resume it each time, and compare the end with an uninterrupted run.

    python benchmarks/kill_and_resume.py --kills 20

Every child process is `twm train` on a tiny recipe. A kill comes after a random delay that spreads over a process' life, from its imports
to its last save, so it hits reading, training, saving and the rotation of checkpoints alike. After each kill every file of the checkpoint
that would be resumed is checked against its sha256. At the end all files of the last checkpoint and metrics.jsonl must equal the
uninterrupted run's byte for byte. One line is printed for each kill; the exit status is 1 if anything differs.
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
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from twm_core.manifest import RunFolder, verify_files

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


def finish(run: Path, recipe: Path, steps: int) -> float:
    """Let a run end by itself and return its seconds.

    Raises:
        RuntimeError: It failed.
    """
    started = time.monotonic()
    done = subprocess.run(command(run, recipe, steps), env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"twm train ended with status {done.returncode}:\n{done.stderr}")
    return time.monotonic() - started


def kill_after(run: Path, recipe: Path, steps: int, seconds: float) -> bool:
    """Start or resume a run and kill it after a while. False if it had ended before.

    Raises:
        RuntimeError: It had failed before.
    """
    child = subprocess.Popen(command(run, recipe, steps), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.communicate()
        return True
    if child.returncode:
        raise RuntimeError(f"twm train ended with status {child.returncode}:\n{said}")
    return False


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
    life = finish(undisturbed, recipe, steps)
    say(f"undisturbed run: {steps} steps in {life:.1f} s")
    chance, found, runs, done = random.Random(seed), [], 1, 0
    seen: Counter[str] = Counter()
    run = folder / "killed-1"
    while done < kills:
        # A resumed run must first import and read its data again: earlier kills would never let it move on.
        delay = chance.uniform(0.05 if chance.random() < 0.2 else 0.5, 1.0) * life
        if not kill_after(run, recipe, steps, delay):
            found += differences(run, undisturbed)
            runs += 1
            run = folder / f"killed-{runs}"
            continue
        done += 1
        after = state(run)
        seen[after.split(" is whole")[0]] += 1
        say(f"kill {done:2}/{kills} after {delay:5.2f} s in {run.name}: {after}")
    finish(run, recipe, steps)
    found += differences(run, undisturbed)
    say(
        f"{runs} run{'s' if runs > 1 else ''}, {done} kills, {len(seen)} different states: "
        + (f"DIFFERENT: {', '.join(found)}" if found else "all bit-identical to the undisturbed run")
    )
    return found


def main() -> int:
    """Run with the words of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return 1 if kill_and_resume(Path(folder), kills=given.kills, seed=given.seed, steps=given.steps, recipe=given.recipe) else 0


if __name__ == "__main__":
    sys.exit(main())
