"""`twm inspect` on a checkpoint written by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]

MANIFEST = {
    "schema": 2,
    "twm": "0.1.0",
    "torch": "2.9",
    "step": 12,
    "seed": 3,
    "parameters": 6,
    "components": [
        {
            "kind": "dynamics",
            "name": "leaky",
            "chosen_as": "leaky",
            "distribution": "acme-worlds",
            "version": "1.2",
            "entry_point": "main = acme.plugin",
            "layout_version": 2,
            "config": {"hidden": 8, "note": None},
            "tensors": 1,
        }
    ],
    "specs": {
        "seen": {"keys": [{"key": "agents.state", "axes": "B T A F"}], "dt": 0.1, "context": 5, "horizon": 10},
        "action": None,
        "embedding": {"agents": 4},
        "latent": {"layout": "agents", "width": 8},
        "output": {"keys": []},
    },
    "metrics": {"val.ade": 0.25},
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoints" / "step-12"
    folder.mkdir(parents=True)
    header = json.dumps({"dynamics.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(24))
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return tmp_path


def test_components_step_specs_and_weights_are_shown(twm: Call, run: Path) -> None:
    outcome = twm("inspect", run)
    assert outcome.status == 0, outcome.err
    out = " ".join(outcome.out.split())
    assert "step 12" in out
    assert "weights 1 tensors with 6 numbers" in out
    assert "latent latent(layout agents, width 8, family none)" in out
    assert "dynamics leaky acme-worlds 1.2 2 1 hidden 8" in out
    assert "metrics val.ade 0.25" in out


def test_a_folder_or_file_inside_the_run_is_the_same_checkpoint(twm: Call, run: Path) -> None:
    folder = run / "checkpoints" / "step-12"
    assert twm("inspect", folder).out == twm("inspect", folder / "model.safetensors").out == twm("inspect", run).out


def test_tensors_are_listed_on_request(twm: Call, run: Path) -> None:
    assert ["dynamics.weight", "F32", "2", "3"] in [line.split() for line in twm("inspect", run, "--tensors").out.splitlines()]
    answer = json.loads(twm("inspect", run, "--tensors", "--json").out)
    assert answer["tensors"] == {"dynamics.weight": {"dtype": "F32", "shape": [2, 3]}}
    assert answer["step"] == 12


def test_a_truncated_file_is_a_user_error(twm: Call, run: Path) -> None:
    file = run / "checkpoints" / "step-12" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    outcome = twm("inspect", run)
    assert outcome.status == 2
    assert "is truncated or has been changed" in outcome.err


def test_a_folder_without_a_checkpoint_is_a_user_error(twm: Call, tmp_path: Path) -> None:
    outcome = twm("inspect", tmp_path)
    assert outcome.status == 2
    assert "has no complete checkpoint" in outcome.err
