"""Two commands on one store: the real programs, the first of which is stopped in the middle of its work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_plugin import write

from twm_core.data.store.reading import open_store
from twm_core.data.store.validation import validate_store

Call = Callable[..., Any]

# The command, which stops itself (as `kill -STOP` would) when it has opened the store.
STOPPED = """
import os, signal, sys
from twm_core.data.windows import splits
really = splits.make_splits
def stopped(*given, **named):
    os.kill(os.getpid(), signal.SIGSTOP)
    return really(*given, **named)
splits.make_splits = stopped
from twm_cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def stopped(process: subprocess.Popen[str]) -> None:
    """Wait until the process has stopped."""
    for _ in range(6000):
        _, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
        if status:
            assert os.WIFSTOPPED(status)
            return
        time.sleep(0.02)
    raise AssertionError("it does not stop")


def test_an_addition_while_a_split_is_stopped_is_refused_and_afterwards_both_are_there(data: Call, tmp_path: Path) -> None:
    out = tmp_path / "x.twm"
    for name, seeds in (("one", range(3)), ("two", range(3, 6))):
        (tmp_path / name).mkdir()
        for seed in seeds:
            write(tmp_path / name / f"{name}-{seed}.lines", seed=seed)
    assert data("import", "lines", tmp_path / "one", "--out", out).status == 0
    words = [sys.executable, "-c", STOPPED, "data", "split", str(out), "--by", "vehicle"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    addition = ("import", "lines", tmp_path / "two", "--out", out, "--append")
    try:
        stopped(process)
        refused = data(*addition)
        assert refused.status == 2
        assert f"store {out} is being written by process {process.pid} on host" in refused.err
        assert "then give the same command again" in refused.err
        assert len(open_store(out)) == 3
        assert data("info", out).status == 0  # readers need no lock
    finally:
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert data(*addition).status == 0  # what the hint says
    assert validate_store(out) == []
    assert len(open_store(out)) == 6
    assert open_store(out).manifest.splits["train"]
    assert {p.name for p in tmp_path.iterdir()} == {"one", "two", "x.twm"}
