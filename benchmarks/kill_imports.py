"""Kill `twm data import` with SIGKILL at random moments, give the command again each time, and compare the end with an undisturbed one.

    python benchmarks/kill_imports.py --kills 80

Half of the kills hit imports of a new store, half hit `--append` to a store. One kill in five comes while the process starts, the others
once the import has begun to write. After each kill the store of before, if there was one, must open and be whole. One command is killed
again and again until it ends; then every file must be byte for byte that of the undisturbed store. The exit status is 1 if anything
differs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from twm_core.data.store.reading import open_store
from twm_core.data.store.validation import validate_store
from twm_core.data.store.writing.draft import JOURNAL, partial_folder
from twm_core.plugin.registry import discover

READER = "drone-csv"


def write_recordings(folder: Path, copies: int) -> Path:
    """The reader's example with so many recordings in all."""
    registered = discover(environ={}).find("reader", READER)
    folder.mkdir(parents=True)
    registered.load_build()(registered.load_config()()).example(folder)
    original = folder / "A" / "drone_1.csv"
    head, *rows = original.read_text(encoding="utf-8").splitlines()
    for number in range(3, copies + 1):
        (folder / "A" / f"drone_{number}.csv").write_text("\n".join([head, *rows[: len(rows) - number]]) + "\n", encoding="utf-8")
    return folder


def command(recordings: Path, out: Path, *, append: bool) -> list[str]:
    """The words of the import."""
    twm = [sys.executable, "-m", "twm_cli", "data", "import", READER, str(recordings), "--out", str(out)]
    return [*twm, "--append"] if append else twm


def run(words: list[str]) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with status {done.returncode}:\n{done.stderr}")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but hidden ones."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")}


def killed(words: list[str], out: Path, seconds: float, *, writing: bool) -> bool:
    """Kill a command after some seconds, counted from its first write if `writing`. False if it came to its end before."""
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    begun = partial_folder(out) / JOURNAL
    size = begun.stat().st_size if begun.exists() else -1
    while writing and child.poll() is None and (begun.stat().st_size if begun.exists() else -1) == size and not _done(out, begun):
        time.sleep(0.001)
    try:
        _, said = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return True
    if child.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with status {child.returncode}:\n{said}")
    return False


def _done(out: Path, begun: Path) -> bool:
    return out.exists() and not begun.exists()


def kill_imports(folder: Path, *, kills: int, seed: int, copies: int, say: Callable[[str], None] = print) -> list[str]:
    """Import and append below `folder`, each killed `kills / 2` times, and return what differs from undisturbed ones."""
    chance, found = random.Random(seed), []
    recordings = write_recordings(folder / "recordings", copies)
    first = folder / "first.twm"
    run(command(recordings / "A" / "drone_1.csv", first, append=False))
    before = open_store(first).ids
    for append in (False, True):
        whole = folder / f"whole-{append}.twm"
        if append:
            shutil.copytree(first, whole)
        started = time.monotonic()
        run(command(recordings, whole, append=append))
        took = time.monotonic() - started
        done, turn = 0, 0
        out = folder / f"killed-{append}-{turn}.twm"
        if append:
            shutil.copytree(first, out)
        while done < (kills // 2 if append else kills - kills // 2):
            starting = chance.random() < 0.2
            ended = not killed(
                command(recordings, out, append=append), out, chance.uniform(0, took if starting else took / 4), writing=not starting
            )
            if append or out.exists():
                store = open_store(out)
                if append and store.ids[: len(before)] != before:
                    found.append(f"{out} lost scenarios")
                found += [p for p in validate_store(store.path) if not p.endswith("is not named in the manifest")]
            if not ended:
                done += 1
                say(f"kill {done} of {'append' if append else 'import'} {'while it starts' if starting else 'while it writes'}")
            if ended or (_done(out, partial_folder(out) / JOURNAL) and contents(out) == contents(whole)):
                found += [] if contents(out) == contents(whole) else [f"{out} differs"]
                turn += 1
                out = folder / f"killed-{append}-{turn}.twm"
                if append:
                    shutil.copytree(first, out)
        if not (out.exists() and not append and not partial_folder(out).exists()):
            run(command(recordings, out, append=append))
        found += [] if contents(out) == contents(whole) else [f"{out} differs"]
        say(f"{done} kills in {turn + 1} stores: {'DIFFERENT' if found else 'the bytes of the undisturbed one'}")
    return found


def main() -> int:
    """Run with the words of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--copies", type=int, default=24, help="recordings, two of them whole")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = kill_imports(Path(folder), kills=given.kills, seed=given.seed, copies=given.copies)
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
