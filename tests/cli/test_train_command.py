"""`twm train`: run folders, resuming, and what is handed to the training loop, which is replaced by a recorder here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from twm_core.checkpoint.component_rows import component_rows
from twm_core.checkpoint.manifest import SCHEMA
from twm_core.recipe.layers import to_toml

Call = Callable[..., Any]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def train(plan: Any, registry: Any, run: Path, *, resume: bool, reporter: Any, **rest: Any) -> dict[str, Any]:
        calls.append({"plan": plan, "run": run, "resume": resume, **rest})
        reporter.progress(1, 1, {"loss": 0.5})
        checkpoint = run / "checkpoints" / "step-1"
        checkpoint.mkdir(parents=True, exist_ok=True)
        (run / "recipe.toml").write_text(to_toml(plan.resolved()))
        specs = {"obs_spec": plan.obs_spec, "action": None, "embedding": plan.embedding, "latent": plan.latent, "output": plan.output}
        manifest = {
            "schema": SCHEMA,
            "step": 1,
            "components": component_rows(plan),
            "training": plan.training.model_dump(mode="json"),
            "specs": {name: spec and spec.model_dump(mode="json") for name, spec in specs.items()},
        }
        (checkpoint / "manifest.json").write_text(json.dumps(manifest))
        reason = "interrupted" if plan.training.seed == 13 else "completed"
        return {"run": str(run), "step": 1, "reason": reason, "checkpoint": str(checkpoint), "seconds": 0.1, "metrics": {"val.ade": 0.25}}

    module = ModuleType("twm_core.training.run")
    module.train = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "twm_core.training.run", module)
    return calls


def test_the_assembled_plan_is_trained_in_the_given_folder(toy: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    outcome = toy("train", "--run", tmp_path / "a", "--steps", "5", "--dynamics.hidden", "8")
    assert outcome.status == 0
    (call,) = recorder
    assert call["run"] == tmp_path / "a"
    assert call["plan"].training.steps == 5
    assert call["plan"].latent.width == 8
    assert not call["resume"]
    assert "completed at step 1" in outcome.out
    assert "val.ade 0.25" in outcome.out
    assert f"run folder: {tmp_path / 'a'}" in outcome.err
    assert "step 1/1  loss 0.5" in outcome.err


def test_a_new_folder_below_runs_is_made_up_and_named(toy: Call, recorder: list[dict[str, Any]], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = toy("train"), toy("train")
    assert first.status == second.status == 0
    folders = [call["run"] for call in recorder]
    assert folders[0] != folders[1]
    assert all(folder.parent == Path("runs") for folder in folders)
    assert f"run folder: {folders[0]}" in first.err


def test_the_summary_is_one_json_object_on_request(toy: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    answer = json.loads(toy("train", "--run", tmp_path / "a", "--json").out)
    assert set(answer) == {"run", "step", "reason", "checkpoint", "seconds", "metrics"}


def test_a_run_with_checkpoints_is_never_overwritten(toy: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    toy("train", "--run", tmp_path / "a")
    outcome = toy("train", "--run", tmp_path / "a")
    assert outcome.status == 2
    assert "already holds checkpoints, and a run is never overwritten" in outcome.err
    assert "--resume, or give another --run" in outcome.err
    assert len(recorder) == 1


def test_a_resumed_run_takes_its_own_recipe(toy: Call, bare: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    toy("train", "--run", tmp_path / "a", "--dynamics", "ring", "--dynamics.slots", "6")
    outcome = bare("train", "--run", tmp_path / "a", "--resume")
    assert outcome.status == 0, outcome.err
    assert recorder[1]["resume"]
    assert recorder[1]["plan"].resolved() == recorder[0]["plan"].resolved()


def test_a_resumed_run_may_be_extended(toy: Call, bare: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    toy("train", "--run", tmp_path / "a", "--steps", "5")
    assert bare("train", "--run", tmp_path / "a", "--resume", "--steps", "9").status == 0
    assert recorder[1]["plan"].training.steps == 9


def test_a_resumed_run_refuses_other_values_and_says_which(toy: Call, bare: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    toy("train", "--run", tmp_path / "a")
    outcome = bare("train", "--run", tmp_path / "a", "--resume", "--dynamics.hidden", "8", "--seed", "4")
    assert outcome.status == 2
    assert "dynamics.hidden: 256 in the checkpoint, 8 now" in outcome.err
    assert "training.seed: 0 in the checkpoint, 4 now" in outcome.err
    assert "go on with --accept-changes" in outcome.err
    assert len(recorder) == 1


def test_changes_can_be_accepted(toy: Call, bare: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    toy("train", "--run", tmp_path / "a")
    words = ("train", "--run", tmp_path / "a", "--resume", "--steps", "400", "--seed", "4")
    assert bare(*words).status == 2
    assert bare(*words, "--accept-changes").status == 0
    assert recorder[1]["accept_changes"]
    assert recorder[1]["start"] == "latest"


def test_a_recipe_that_was_edited_by_hand_is_noticed(toy: Call, bare: Call, recorder: list[dict[str, Any]], tmp_path: Path) -> None:
    toy("train", "--run", tmp_path / "a")
    recipe = tmp_path / "a" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("hidden = 256", "hidden = 128"))
    outcome = bare("train", "--run", tmp_path / "a", "--resume")
    assert outcome.status == 2
    assert "dynamics.hidden: 256 in the checkpoint, 128 now" in outcome.err


@pytest.mark.parametrize(
    "words",
    [("--preset", "traffic-wm"), ("--preset=traffic-wm",), ("--size", "12m"), ("--set", 'preset="traffic-wm"'), ("-c", "preset.toml")],
)
def test_a_preset_has_no_effect_on_a_resumed_run_and_is_refused(
    words: tuple[str, ...], toy: Call, bare: Call, recorder: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "preset.toml").write_text('preset = "traffic-wm"\n')
    toy("train", "--run", tmp_path / "a")
    outcome = bare("train", "--run", tmp_path / "a", "--resume", *words)
    assert outcome.status == 2
    assert "has no effect with --resume" in outcome.err
    assert len(recorder) == 1


@pytest.mark.parametrize("words", [("--from", "best"), ("--accept-changes",)])
def test_options_of_resuming_are_refused_without_it(words: tuple[str, ...], toy: Call, recorder: list[Any], tmp_path: Path) -> None:
    outcome = toy("train", "--run", tmp_path / "a", *words)
    assert outcome.status == 2
    assert f"{words[0]} has no effect without --resume" in outcome.err
    assert not recorder


def test_fewer_steps_than_reached_are_refused(toy: Call, bare: Call, recorder: list[Any], tmp_path: Path) -> None:
    toy("train", "--run", tmp_path / "a", "--steps", "5")
    manifest = tmp_path / "a" / "checkpoints" / "step-1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"step": 1,', '"step": 5,'))
    outcome = bare("train", "--run", tmp_path / "a", "--resume", "--steps", "3")
    assert outcome.status == 2
    assert "has done 5 steps, and training.steps = 3 is less" in outcome.err


def test_an_option_that_repeats_the_value_of_the_run_is_no_change(toy: Call, bare: Call, recorder: list[Any], tmp_path: Path) -> None:
    toy("train", "--run", tmp_path / "a", "--dynamics.hidden", "8")
    assert bare("train", "--run", tmp_path / "a", "--resume", "--dynamics.hidden", "8").status == 0


def test_resuming_needs_a_run_folder(toy: Call, tmp_path: Path) -> None:
    assert "--resume does not know which run to continue" in toy("train", "--resume").err
    outcome = toy("train", "--resume", "--run", tmp_path)
    assert outcome.status == 2
    assert "is not a run folder: it has no recipe.toml" in outcome.err


def test_a_file_is_not_a_run_folder(toy: Call, recorder: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    outcome = toy("train", "--run", tmp_path / "a")
    assert outcome.status == 2
    assert "is a file" in outcome.err


def test_an_interrupted_run_ends_with_its_own_status_and_says_how_to_go_on(toy: Call, recorder: list[Any], tmp_path: Path) -> None:
    outcome = toy("train", "--run", tmp_path / "a", "--seed", "13")
    assert outcome.status == 130
    assert f"twm train --run {tmp_path / 'a'} --resume" in outcome.out


def test_a_dry_run_trains_nothing(toy: Call, recorder: list[Any], tmp_path: Path) -> None:
    outcome = toy("train", "--dry-run", "--run", tmp_path / "a")
    assert outcome.status == 0
    assert "-> latent(" in outcome.out
    assert not recorder
    assert not (tmp_path / "a").exists()
