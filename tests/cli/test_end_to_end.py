"""The real components: train two steps, resume, evaluate, inspect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

SMALL = """
[dataset]
component = "highway"
runs = 1
evaluation_runs = 1
run_seconds = 12.0
warm_up_seconds = 5.0
train_sites = ["straight-3"]
test_sites = ["waves-3"]
[training]
batch = 2
validate_windows = 2
threads = 1
"""


def test_a_run_is_trained_resumed_evaluated_and_inspected(twm: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    assert twm("check", "-c", tmp_path / "small.toml").status == 0
    run = tmp_path / "run"

    trained = twm("train", "-c", tmp_path / "small.toml", "--run", run, "--steps", "1", "--json")
    assert trained.status == 0, trained.err
    assert json.loads(trained.out)["reason"] == "completed"

    resumed = twm("train", "--run", run, "--resume", "--steps", "2", "--json")
    assert resumed.status == 0, resumed.err
    assert json.loads(resumed.out)["step"] == 2

    measured = twm("eval", run, "--windows", "2", "--samples", "2", "--checkpoint", "latest", "--json")
    assert measured.status == 0, measured.err
    answer = json.loads(measured.out)
    assert answer["windows"] == 2
    assert answer["forecasters"]["model"]["scores"]["ade"] > 0
    assert "constant-velocity" in answer["forecasters"]

    assert "minADE_2 m" in twm("eval", run, "--windows", "2", "--samples", "2").out
    assert "rssm-cat" in twm("inspect", run).out
