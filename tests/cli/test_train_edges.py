"""`twm train` at its edges, with real training of the tiny recipe: every hint that an error prints is followed here, and works."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twm_core.checkpoint.manifest import RunFolder, read_manifest
from twm_core.data.windows.loader import TrainingBatches
from twm_core.nn.world_model import WorldModel

Call = Callable[..., Any]
TINY = Path(__file__).parents[1] / "tiny.toml"
QUICK = ("--steps", "4", "--training.checkpoint_every", "2", "--training.validate_every", "100", "--dataset.runs", "1")


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 steps with checkpoints after 2 and 4."""
    from twm_cli.main import main

    run = tmp_path_factory.mktemp("half") / "run"
    assert main(["train", "-c", str(TINY), *QUICK, "--run", str(run)]) == 0
    return run


@pytest.fixture
def run(half: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(half, tmp_path / "run"))


@pytest.fixture
def at_call(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[Any], Any]], None]:
    """Do something to what the world model returns at one of its calls, once."""

    def arrange(number: int, act: Callable[[Any], Any]) -> None:
        honest, calls = WorldModel.forward, [0]

        def forward(self: WorldModel, *given: Any) -> Any:
            calls[0] += 1
            found = honest(self, *given)
            return act(found) if calls[0] == number else found

        monkeypatch.setattr(WorldModel, "forward", forward)

    return arrange


def spoiled(found: Any) -> Any:
    total, terms = found
    return total * float("nan"), {k: v * float("nan") for k, v in terms.items()}


def printed_command(hint: str) -> list[str]:
    """The words of the command that a hint ends with."""
    return shlex.split(hint[hint.index("twm train") :])[1:]


def hint_of(err: str) -> str:
    return next(line for line in err.splitlines() if line.startswith("hint: "))


def test_after_a_divergence_the_printed_command_goes_on_with_a_lower_rate(twm: Call, run: Path, at_call: Call) -> None:
    at_call(1, spoiled)
    failed = twm("train", "--run", run, "--resume", "--steps", "6")
    assert failed.status == 2
    assert "is not a finite number" in failed.err
    words = printed_command(hint_of(failed.err))
    assert words[-2:] == ["--training.lr", "0.0002"]
    outcome = twm(*words)
    assert outcome.status == 0, outcome.err
    manifest = read_manifest(run, "latest")
    assert manifest["training"]["lr"] == 0.0002
    assert {c["path"] for c in manifest["changes"]} == {"training.lr", "training.steps"}
    shown = " ".join(twm("inspect", run, "--checkpoint", "latest").out.split())
    assert "training.lr 0.002 -> 0.0002 at step 4" in shown


def test_a_divergence_before_the_first_checkpoint_says_so_and_the_run_starts_again(twm: Call, tmp_path: Path, at_call: Call) -> None:
    at_call(1, spoiled)
    words = ("train", "-c", TINY, *QUICK, "--run", tmp_path / "run")
    failed = twm(*words)
    assert failed.status == 2
    hint = hint_of(failed.err)
    assert "there is no checkpoint yet, so the run starts again" in hint
    added = hint[hint.index("--training.lr") : hint.index(")")].split()
    outcome = twm(*words, *added)
    assert outcome.status == 0, outcome.err


@pytest.mark.skipif(sys.platform != "linux", reason="the process that reads is forked with what the test put in")
def test_after_a_dead_worker_the_run_goes_on_without_workers(twm: Call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, parent = TrainingBatches.__getitem__, os.getpid()

    def read(self: TrainingBatches, k: int) -> Any:
        if os.getpid() != parent:
            os._exit(9)
        return honest(self, k)

    monkeypatch.setattr(TrainingBatches, "__getitem__", read)
    failed = twm("train", "--run", run, "--resume", "--steps", "6", "--training.workers", "1")
    assert failed.status == 2
    assert "a process that reads batches ended" in failed.err
    assert "set training.workers = 0" in hint_of(failed.err)
    outcome = twm("train", "--run", run, "--resume", "--training.workers", "0")
    assert outcome.status == 0, outcome.err
    assert read_manifest(run, "latest")["step"] == 6


@pytest.mark.parametrize("file", ["model.safetensors", "trainer.safetensors", "manifest.json"])
def test_after_a_damaged_checkpoint_the_printed_command_goes_on_from_another_one(twm: Call, run: Path, file: str) -> None:
    damaged = RunFolder(run).find("latest") / file
    damaged.write_bytes(damaged.read_bytes()[:-100])
    failed = twm("train", "--run", run, "--resume", "--steps", "6")
    assert failed.status == 2
    words = printed_command(hint_of(failed.err))
    assert words[-2:] == ["--from", "step-2"]
    outcome = twm(*words, "--steps", "6")
    assert outcome.status == 0, outcome.err
    assert (run / "aside-1" / "step-4" / file).is_file()
    assert read_manifest(run, "latest")["step"] == 6


def test_fewer_steps_are_refused_and_the_printed_ways_work(twm: Call, run: Path) -> None:
    recipe = (run / "recipe.toml").read_bytes()
    failed = twm("train", "--run", run, "--resume", "--steps", "3")
    assert failed.status == 2
    assert "--training.steps 4 or more, or an earlier checkpoint with --from" in hint_of(failed.err)
    assert twm("train", "--run", run, "--resume", "--training.steps", "4").status == 0
    assert (run / "recipe.toml").read_bytes() == recipe
    outcome = twm("train", "--run", run, "--resume", "--training.steps", "3", "--from", "step-2", "--accept-changes")
    assert outcome.status == 0, outcome.err
    assert read_manifest(run, "latest")["step"] == 3


def test_a_plugin_that_calls_sys_exit_ends_with_an_error_and_not_with_status_0(twm: Call, run: Path, monkeypatch: Any) -> None:
    from twm_losses.huber import Huber

    def leave(self: Any, *given: Any, **more: Any) -> Any:
        sys.exit(0)

    monkeypatch.setattr(Huber, "forward", leave)
    outcome = twm("train", "--run", run, "--resume", "--steps", "6")
    assert outcome.status == 2
    assert "loss huber (twm" in outcome.err
    assert "called sys.exit(0) while training" in outcome.err
    assert "the last good checkpoint is" in hint_of(outcome.err)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_closed_terminal_or_a_batch_system_leaves_a_checkpoint(twm: Call, run: Path, at_call: Call, number: int) -> None:
    def interrupt(found: Any) -> Any:
        os.kill(os.getpid(), number)
        return found

    at_call(1, interrupt)
    outcome = twm("train", "--run", run, "--resume", "--steps", "9")
    assert outcome.status == 130, outcome.err
    assert read_manifest(run, "latest")["step"] == 5


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked")
def test_a_signal_to_all_processes_leaves_a_checkpoint_although_some_of_them_read_batches(run: Path) -> None:
    words = ["train", "--run", str(run), "--resume", "--steps", "100000", "--training.workers", "2", "--training.checkpoint_every", "50000"]
    with subprocess.Popen([sys.executable, "-m", "twm_cli", *words], stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            while process.poll() is None and '"step": 8' not in (run / "metrics.jsonl").read_text():
                time.sleep(0.02)
            assert process.poll() is None, process.communicate()[1]
            os.killpg(process.pid, signal.SIGTERM)
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert read_manifest(run, "latest")["step"] >= 8


SBATCH = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "tw", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


def test_the_variables_of_a_batch_script_do_not_matter(twm: Call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SBATCH.items():
        monkeypatch.setenv(name, value)
    assert twm("train", "--run", run, "--resume", "--steps", "5").status == 0
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    outcome = twm("train", "--run", run, "--resume", "--steps", "6")
    assert outcome.status == 2
    assert "srun started 2 processes" in outcome.err
    assert read_manifest(run, "latest")["step"] == 5


def test_too_few_file_descriptors_end_with_one_error_and_no_hang(run: Path) -> None:
    words = [sys.executable, "-m", "twm_cli", "train", "--run", str(run), "--resume", "--steps", "6", "--training.workers", "2"]
    line = f"ulimit -n 24; exec {shlex.join(words)}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=300, env={**os.environ, **SBATCH})
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error: ") == 1
    assert "open files" in done.stderr
    assert "set training.workers = 0" in hint_of(done.stderr)
