"""A resumed run is compared with what its checkpoint recorded: every identity, each named with both values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twm_core.checkpoint.component_rows import component_rows
from twm_core.checkpoint.manifest import RunFolder, read_manifest
from twm_core.errors import CheckpointError
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.reporting import Reporter
from twm_core.training.resuming import ADJUSTABLE, EXECUTION, check_changes, differences, elsewhere, record
from twm_core.training.run import train


class Notes(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def manifest(trained: Path) -> dict[str, Any]:
    return json.loads(json.dumps(read_manifest(trained, "latest")))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def row(manifest: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(r for r in manifest["components"] if r["kind"] == kind)


def test_nothing_differs_from_what_was_just_written(manifest: dict[str, Any], tiny: Callable[..., Plan]) -> None:
    assert differences(manifest, tiny(), fingerprint=manifest["dataset_sha256"]) == []


CHANGES: dict[str, Any] = {
    "training.batch": 3,
    "training.seed": 5,
    "training.ema": 0.5,
    "dynamics.deter": 32,
    "encoder.multiagent.dropout": 0.3,
    "dataset.predicted_seconds": 1.2,
    "optimizer.weight_decay": 0.5,
    "fusion.mode": "add",
}


@pytest.mark.parametrize("path", CHANGES)
def test_each_recorded_option_is_compared_and_named_with_both_values(
    path: str, manifest: dict[str, Any], tiny: Callable[..., Plan]
) -> None:
    (change,) = (c for c in differences(manifest, tiny({path: CHANGES[path]})) if c.path == path)
    with pytest.raises(CheckpointError) as caught:
        check_changes([change], reached=12, steps=12, accept=False)
    assert f"{path}: {change.before!r} in the checkpoint, {CHANGES[path]!r} now" in caught.value.message
    assert "--accept-changes" in str(caught.value.hint)


def test_another_component_is_a_difference(manifest: dict[str, Any], tiny: Callable[..., Plan]) -> None:
    found = {c.path: (c.before, c.after) for c in differences(manifest, tiny(gru=True))}
    assert found["dynamics.component"] == ("rssm-cat", "gru")
    assert found["loss.components"] == (["huber", "existence", "kl", "rollout"], ["huber", "existence", "rollout"])


def other_version(manifest: dict[str, Any]) -> str:
    row(manifest, "loss")["version"] = "0.0.9"
    return r"version of loss huber: 'twm 0\.0\.9' in the checkpoint, 'twm "


def other_distribution(manifest: dict[str, Any]) -> str:
    row(manifest, "decoder")["distribution"] = "acme"
    return "version of decoder agents: 'acme "


def other_data(manifest: dict[str, Any]) -> str:
    manifest["dataset_sha256"] = "5abb"
    return "data: '5abb' in the checkpoint, '"


def other_recipe(manifest: dict[str, Any]) -> str:
    manifest["training"]["clip"] = 1.0
    return r"training\.clip: 1\.0 in the checkpoint, 5\.0 now"


@pytest.mark.parametrize("edit", [other_version, other_distribution, other_data, other_recipe])
def test_a_difference_stops_the_run_before_anything_is_written(
    edit: Callable[[dict[str, Any]], str], run: Path, tiny: Callable[..., Plan], registry: Registry
) -> None:
    file = RunFolder(run).find("latest") / "manifest.json"
    recorded = json.loads(file.read_text())
    words = edit(recorded)
    file.write_text(json.dumps(recorded))
    before = contents(run)
    with pytest.raises(CheckpointError, match=words):
        train(tiny({"training.steps": 13}), registry, run, resume=True)
    assert contents(run) == before


def test_accepted_changes_are_recorded_in_later_checkpoints(run: Path, tiny: Callable[..., Plan], registry: Registry) -> None:
    notes = Notes()
    plan = tiny({"training.steps": 13, "training.lr": 1e-3, "training.clip": 1.0, "training.ema": 0.0, "training.checkpoint_every": 50})
    train(plan, registry, run, resume=True, accept_changes=True, reporter=notes)
    changes = read_manifest(run, "latest")["changes"]
    assert {"step": 12, "path": "training.clip", "before": 5.0, "after": 1.0} in changes
    assert {c["path"] for c in changes} == {"training.steps", "training.lr", "training.clip", "training.ema"}
    text = "\n".join(notes.notes)
    assert "the cosine of the learning rate is stretched from 12 to 13 steps" in text
    # Later checkpoints keep them, and compare with what is recorded now.
    assert record(read_manifest(run, "latest"), []) == changes
    assert differences(read_manifest(run, "latest"), plan) == []


@pytest.mark.parametrize("path", sorted(EXECUTION))
def test_options_of_execution_may_change(path: str, manifest: dict[str, Any], tiny: Callable[..., Plan]) -> None:
    value: Any = "auto" if path == "training.device" else 7
    assert differences(manifest, tiny({path: value})) == []


def test_adjustable_options_need_no_consent_and_are_listed(manifest: dict[str, Any], tiny: Callable[..., Plan]) -> None:
    changes = differences(manifest, tiny({"training.lr": 1e-4, "training.threads": 2, "training.steps": 20}))
    check_changes(changes, reached=12, steps=20, accept=False)
    assert {c.path for c in changes} == ADJUSTABLE


def test_fewer_steps_than_reached_are_refused_and_nothing_is_written(run: Path, tiny: Callable[..., Plan], registry: Registry) -> None:
    before = contents(run)
    with pytest.raises(CheckpointError, match=r"has done 12 steps, and training\.steps = 5 is less\n.*--training\.steps 12 or more"):
        train(tiny({"training.steps": 5}), registry, run, resume=True, accept_changes=True)
    assert contents(run) == before


def test_a_run_that_has_ended_says_so_and_refuses_changes_without_effect(run: Path, tiny: Callable[..., Plan], registry: Registry) -> None:
    before, notes = contents(run), Notes()
    train(tiny(), registry, run, resume=True, reporter=notes)
    assert "the run has already done all 12 steps" in "\n".join(notes.notes)
    with pytest.raises(CheckpointError, match=r"a change of training\.lr is without effect"):
        train(tiny({"training.lr": 1e-4}), registry, run, resume=True)
    assert contents(run) == before


def test_a_field_that_an_earlier_version_did_not_have_counts_as_its_default(manifest: dict[str, Any], tiny: Callable[..., Plan]) -> None:
    del manifest["training"]["scheduled_sampling"], row(manifest, "loss")["config"]["weight"]
    assert differences(manifest, tiny()) == []
    assert [c.path for c in differences(manifest, tiny({"training.scheduled_sampling": 0.5}))] == ["training.scheduled_sampling"]


def test_the_contents_of_a_one_file_plugin_are_compared(tiny: Callable[..., Plan], tmp_path: Path) -> None:
    from twm_core.plugin.one_file import locate

    file = tmp_path / "one_file_of_the_resuming_test.py"
    file.write_text("a = 1\n")
    first = locate(file)
    file.write_text("a = 2\n")
    assert first.sha256 != locate(file).sha256

    from dataclasses import replace

    def with_file(sha256: str) -> Plan:
        plan = tiny()
        part = plan.parts["loss"][0]
        plugin = replace(part.registered.plugin, distribution="file", version="0", value=str(file), sha256=sha256)
        part = replace(part, registered=replace(part.registered, plugin=plugin))
        return replace(plan, parts={**plan.parts, "loss": (part, *plan.parts["loss"][1:])})

    before = {"components": json.loads(json.dumps(component_rows(with_file(first.sha256))))}
    assert differences(before, with_file(first.sha256)) == []
    (change,) = differences(before, with_file(locate(file).sha256))
    assert change.path == "contents of the one-file plugin of loss huber (sha256)"
    assert (change.before, change.after) == (first.sha256, locate(file).sha256)


def test_the_hint_for_a_bad_checkpoint_names_another_one(run: Path) -> None:
    folder, damaged = RunFolder(run), CheckpointError("damaged", "use another checkpoint of the run")
    earlier, last = folder.names()
    assert str(elsewhere(damaged, folder, last).hint).endswith(f"--resume --from {earlier}")
    shutil.rmtree(folder.checkpoints / earlier)
    assert "no other checkpoint" in str(elsewhere(damaged, folder, last).hint)


def test_a_remedy_that_is_not_another_checkpoint_stays(run: Path) -> None:
    error = CheckpointError("schema 99", "use a matching version of twm")
    assert elsewhere(error, RunFolder(run), "step-12") is error
