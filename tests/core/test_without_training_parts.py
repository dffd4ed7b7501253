"""What only training needs, losses and optimizer, need not be installed to evaluate a run; resuming it still needs them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from twm_core.checkpoint.load import load_run
from twm_core.checkpoint.manifest import MANIFEST, MODEL, RunFolder, check_installed, read_manifest
from twm_core.errors import CheckpointError
from twm_core.evaluation.evaluate import Request, evaluate
from twm_core.plugin.registry import Registry
from twm_core.tensor_files import file_hash, layout_hash

KINDS = ("loss", "optimizer")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    for step in (run / "checkpoints").glob("step-*"):
        manifest = json.loads((step / MANIFEST).read_text(encoding="utf-8"))
        change(manifest)
        (step / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def from_elsewhere(manifest: dict[str, Any]) -> None:
    """As if losses and optimizer came from a distribution that is not installed."""
    for row in manifest["components"]:
        if row["kind"] in KINDS:
            row["distribution"] = "acme-training"


def test_a_run_is_evaluated_without_the_plugins_of_its_losses_and_optimizer(trained: Path, run: Path, registry: Registry) -> None:
    request = {"samples": 2, "windows": 1, "baselines": ("zero-velocity",)}
    usual = evaluate(Request(target=trained, **request), registry=registry)
    edit(run, from_elsewhere)
    found = evaluate(Request(target=run, **request), registry=registry)
    assert repr(found["forecasters"]) == repr(usual["forecasters"])
    assert {(row["kind"], row["distribution"], row["tensors"]) for row in found["not_built"]} == {(k, "acme-training", 0) for k in KINDS}
    assert {row["name"] for row in found["not_built"]} == {"huber", "existence", "kl", "rollout", "adamw"}


def test_it_is_not_resumed_without_them(run: Path, registry: Registry) -> None:
    edit(run, from_elsewhere)
    with pytest.raises(CheckpointError, match=r"needs loss huber of acme-training .*, which is not installed"):
        check_installed(read_manifest(run, "latest"), registry)


def test_a_model_that_is_loaded_holds_no_losses(trained: Path, registry: Registry) -> None:
    plan, model, _ = load_run(trained, registry=registry)
    assert plan.parts["loss"] == plan.parts["optimizer"] == ()
    assert len(model.losses) == 0
    assert not {"loss", "optimizer"} & set(plan.resolved())
    assert "loss" not in plan.describe()


def with_tensor(run: Path, name: str, *, recorded: bool) -> None:
    """Add a tensor to the weights, and to the row of the loss `huber` if it is to be recorded."""
    step = RunFolder(run).find("best")
    with safe_open(step / MODEL, framework="pt") as file:
        metadata = file.metadata()
    save_file({**load_file(step / MODEL), name: torch.zeros(3)}, step / MODEL, metadata=metadata)
    manifest = json.loads((step / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][MODEL] = {"sha256": file_hash(step / MODEL), "bytes": (step / MODEL).stat().st_size}
    if recorded:
        row = next(r for r in manifest["components"] if (r["kind"], r["name"]) == ("loss", "huber"))
        row |= {"tensors": 1, "layout_sha256": layout_hash({name: ("torch.float32", (3,))})}
    (step / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def test_tensors_of_a_loss_are_accounted_for_and_said(run: Path, registry: Registry) -> None:
    with_tensor(run, "losses.huber.scale", recorded=True)
    found = evaluate(Request(target=run, samples=1, windows=1, baselines=("zero-velocity",)), registry=registry)
    assert next(row for row in found["not_built"] if row["name"] == "huber")["tensors"] == 1
    assert "1 tensors of loss huber are not loaded: only training reads them" in found["notes"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("losses.huber.scale", r"tensors of loss huber \(twm .*\) are not those that its manifest recorded"),
        ("losses.unknown.scale", r"losses\.unknown\.scale is not known"),
        ("dynamics.unknown", "dynamics rssm-cat"),
    ],
)
def test_tensors_that_nothing_accounts_for_are_refused(run: Path, registry: Registry, name: str, message: str) -> None:
    with_tensor(run, name, recorded=False)
    with pytest.raises(CheckpointError, match=message):
        load_run(run, registry=registry)
