"""The training loop: resumed runs equal uninterrupted ones byte for byte, seeds decide everything, divergence saves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from twm_core.checkpoint.manifest import RunFolder, read_manifest
from twm_core.errors import CheckpointError, DataError
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.reporting import Reporter
from twm_core.specs import OutputSpec
from twm_core.training.run import train
from twm_core.training.trainer import Trainer
from twm_core.training.validation import Validation

CASES = {
    "rssm-cat": (False, {"training.ema": 0.0}),
    "rssm-cat-average": (False, {"training.ema": 0.9}),
    "gru-average": (True, {"training.ema": 0.9}),
}


class PowerCut(Exception):
    pass


class At(Reporter):
    """Does something after a step."""

    def __init__(self, step: int, act: Callable[[], None]) -> None:
        self.step, self.act = step, act

    def progress(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        if step == self.step:
            self.act()


def cut() -> None:
    raise PowerCut


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tiny: Callable[..., Plan], registry: Registry, tmp_path_factory: Any) -> tuple[Plan, Path]:
    gru, changes = CASES[request.param]
    plan, run = tiny(changes, gru=gru), tmp_path_factory.mktemp(request.param) / "run"
    train(plan, registry, run)
    return plan, run


TIMES = ("seconds", "waiting")
"""What a summary says of how long things took."""


def same_end(run: Path, uninterrupted: Path) -> None:
    for name in ("model.safetensors", "trainer.safetensors"):
        ours, theirs = (load_file(r / "checkpoints" / "step-12" / name) for r in (run, uninterrupted))
        assert ours.keys() == theirs.keys()
        assert [k for k in ours if not torch.equal(ours[k], theirs[k])] == []
    assert contents(run / "checkpoints") == contents(uninterrupted / "checkpoints")
    assert (run / "metrics.jsonl").read_text() == (uninterrupted / "metrics.jsonl").read_text()


def test_a_run_that_lost_steps_ends_like_an_uninterrupted_one(case: tuple[Plan, Path], registry: Registry, tmp_path: Path) -> None:
    plan, uninterrupted = case
    with pytest.raises(PowerCut):
        train(plan, registry, tmp_path, reporter=At(8, cut))
    assert RunFolder(tmp_path).pointed("latest") == "step-6"
    torch.randn(1000)  # the state of the process' own generator must not matter
    assert train(plan, registry, tmp_path, resume=True)["step"] == 12
    same_end(tmp_path, uninterrupted)


def test_a_run_stopped_by_ctrl_c_saves_and_ends_like_an_uninterrupted_one(
    case: tuple[Plan, Path], registry: Registry, tmp_path: Path
) -> None:
    plan, uninterrupted = case
    stopped = train(plan, registry, tmp_path, reporter=At(6, interrupt))
    assert stopped["reason"] == "interrupted"
    assert RunFolder(tmp_path).pointed("latest") == f"step-{stopped['step']}"
    assert stopped["step"] in (6, 7)
    resumed = train(plan, registry, tmp_path, resume=True)
    assert (resumed["reason"], resumed["step"]) == ("completed", 12)
    same_end(tmp_path, uninterrupted)


def test_no_step_is_logged_twice(trained: Path, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        train(tiny(), registry, tmp_path, reporter=At(8, cut))
    assert rows(tmp_path)[-1]["step"] == 8
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 9, "train.lo')  # a kill in the middle of a line
    train(tiny(), registry, tmp_path, resume=True)
    logged = [(r["step"], "train.loss" in r) for r in rows(tmp_path)]
    assert len(set(logged)) == len(logged)
    assert [s for s, training in logged if training] == list(range(1, 13))
    assert [s for s, training in logged if not training] == [5, 10, 12]
    assert rows(tmp_path) == rows(trained)


def test_resuming_a_finished_run_changes_nothing(trained: Path, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path) -> None:
    first = train(tiny(), registry, tmp_path)
    before = contents(tmp_path / "checkpoints")
    again = train(tiny(), registry, tmp_path, resume=True)
    assert contents(tmp_path / "checkpoints") == before == contents(trained / "checkpoints")
    assert again.keys() == first.keys()
    assert {k: v for k, v in again.items() if k not in TIMES} == {k: v for k, v in first.items() if k not in TIMES}


def test_the_same_seed_gives_the_same_metrics_and_another_seed_gives_others(
    trained: Path, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path
) -> None:
    train(tiny(), registry, tmp_path / "same")
    train(tiny({"training.seed": 1}), registry, tmp_path / "other")
    assert rows(tmp_path / "same") == rows(trained)
    assert all(a != b for a, b in zip(rows(tmp_path / "other"), rows(trained), strict=True))


def test_a_run_with_checkpoints_is_not_started_anew(trained: Path, tiny: Callable[..., Plan], registry: Registry) -> None:
    with pytest.raises(CheckpointError, match=r"already holds checkpoints.*\n.*--resume"):
        train(tiny(), registry, trained)


def test_resuming_needs_a_checkpoint(tiny: Callable[..., Plan], registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no complete checkpoint\n.*leave --resume out"):
        train(tiny(), registry, tmp_path, resume=True)


def test_a_run_killed_before_its_first_checkpoint_is_started_anew(
    trained: Path, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(PowerCut):
        train(tiny(), registry, tmp_path, reporter=At(2, cut))
    (tmp_path / "checkpoints" / f".unfinished-{'0' * 32}-step-3").mkdir()
    (tmp_path / "checkpoints" / f".unfinished-{'0' * 32}-step-3" / "model.safetensors").write_bytes(b"half")
    (tmp_path / f".unfinished-{'0' * 32}-recipe.toml").write_text("")
    train(tiny(), registry, tmp_path)
    same_end(tmp_path, trained)
    assert not list(tmp_path.rglob(".unfinished*"))


def test_a_kill_between_a_checkpoint_and_its_pointers_loses_nothing(
    trained: Path, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(PowerCut):
        train(tiny(), registry, tmp_path, reporter=At(7, cut))
    (tmp_path / "checkpoints" / "latest").write_text("step-5\n")  # step-6 is complete, but nothing says so yet
    train(tiny(), registry, tmp_path, resume=True)
    same_end(tmp_path, trained)


def test_the_first_checkpoint_is_still_the_best_one_where_a_kill_left_no_pointer(
    tiny: Callable[..., Plan], registry: Registry, tmp_path: Path
) -> None:
    plan = tiny({"training.checkpoint_every": 100})
    with pytest.raises(PowerCut):
        train(plan, registry, tmp_path, reporter=At(5, cut))
    for pointer in ("best", "latest"):
        (tmp_path / "checkpoints" / pointer).unlink()
    with pytest.raises(PowerCut):
        train(plan, registry, tmp_path, resume=True, reporter=At(6, cut))
    assert RunFolder(tmp_path).pointed("best") == "step-5"


def test_the_recipe_and_every_written_number_are_readable_without_pickle(trained: Path) -> None:
    files = [p for p in trained.rglob("*") if p.is_file()]
    kinds = {p.name if p.suffix == "" else p.suffix for p in files if not p.name.startswith("events.out.tfevents.")}
    assert kinds == {".toml", ".jsonl", ".json", ".safetensors", "latest", "best"}
    assert any(p.name.startswith("events.out.tfevents.") for p in files)
    for file in files:
        if file.suffix == ".json":
            json.loads(file.read_text())


MAY_PICKLE = {
    "twm_sumo/simulator.py": "talks with the process that it started",
    "twm_sumo/worker.py": "the other end of that pipe",
    "twm_driving/scenarionet/example.py": "writes a format that is made of pickles",
    "twm_driving/scenarionet/plain_pickle.py": "walks over opcodes with pickletools, which executes nothing",
}


def test_the_sources_name_no_pickling_function_but_where_there_is_a_reason() -> None:
    root = Path(__file__).parents[2]
    banned = re.compile(r"(?<!safetensors\.)torch\.(load|save)\(|(import|from) (pickle|dill|joblib|shelve)|pickle\.|allow_pickle=True")
    sources = {
        p.relative_to(root / folder).as_posix(): p for folder in ("twm_core", "cli", "plugins") for p in (root / folder).rglob("*.py")
    }
    assert len(sources) > 50
    assert {name for name, p in sources.items() if banned.search(p.read_text(encoding="utf-8"))} == set(MAY_PICKLE)


def test_everyone_who_may_read_the_run_may_read_its_checkpoints(trained: Path) -> None:
    manifest = trained / "checkpoints" / "step-12" / "manifest.json"
    assert {p.stat().st_mode for p in manifest.parent.iterdir()} == {manifest.stat().st_mode}


@pytest.mark.parametrize("gru", [False, True])
@pytest.mark.parametrize(("lr", "validate_every"), [(1e30, 1), (1e38, 100)])
def test_a_diverged_run_ends_with_one_error_and_saves_no_such_weights(
    tiny: Callable[..., Plan], registry: Registry, tmp_path: Path, gru: bool, lr: float, validate_every: int
) -> None:
    changes = {"training.lr": lr, "training.validate_every": validate_every, "training.clip": 0.0}
    plan = tiny({**changes, "training.warmup": 0, "training.checkpoint_every": 1}, gru=gru)
    with pytest.raises(DataError, match="finite") as caught:
        train(plan, registry, tmp_path)
    assert "lower training.lr" in str(caught.value)
    for name in RunFolder(tmp_path).names():
        tensors = load_file(tmp_path / "checkpoints" / name / "model.safetensors")
        assert all(bool(t.isfinite().all()) for t in tensors.values() if t.is_floating_point())


def test_a_diverged_run_keeps_the_last_good_checkpoint(
    tiny: Callable[..., Plan], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twm_core.nn.world_model import WorldModel

    honest, calls = WorldModel.forward, [0]

    def spoiled(self: WorldModel, *given: Any) -> Any:
        calls[0] += 1
        total, terms = honest(self, *given)
        return (
            (total * float("nan"), {k: v * float("nan") if k == "huber.prediction" else v for k, v in terms.items()})
            if calls[0] == 8
            else (total, terms)
        )

    monkeypatch.setattr(WorldModel, "forward", spoiled)
    with pytest.raises(DataError, match=r"step 8: loss term huber\.prediction is not a finite number"):
        train(tiny(), registry, tmp_path)
    assert RunFolder(tmp_path).pointed("latest") == "step-6"
    assert read_manifest(tmp_path, "latest")["step"] == 6


def test_validation_is_deterministic_and_leaves_the_generators_alone(tiny: Callable[..., Plan], registry: Registry) -> None:
    from twm_core.nn.build import build_dataset

    plan = tiny()
    dataset = build_dataset(plan)
    trainer = Trainer(plan, dataset, dataset.windows("train"), torch.device("cpu"))
    trainer.collect_statistics()
    before = torch.get_rng_state(), trainer.generator.get_state()
    with trainer.evaluating() as model:
        found = [
            Validation(registry, plan.obs_spec, dataset.windows("val"), [0, 1], batch=2, device=torch.device("cpu"))(model)
            for _ in range(2)
        ]
    assert found[0] == found[1]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.equal(trainer.generator.get_state(), before[1])


def test_validation_scores_agents_only_where_their_positions_are_decoded(tiny: Callable[..., Plan], registry: Registry) -> None:
    from twm_core.nn.build import build_dataset

    plan = tiny()
    dataset = build_dataset(plan)
    trainer = Trainer(plan, dataset, dataset.windows("train"), torch.device("cpu"))
    trainer.collect_statistics()
    named = {k.key: k for k in plan.output.keys}
    found = {}
    with trainer.evaluating() as model:
        for title, keys in (
            ("all", plan.output.keys),
            ("existence", (named["agents.exists"],)),
            ("speeds", (named["agents.state"].model_copy(update={"features": ("vx", "vy")}),)),
        ):
            model.output = OutputSpec(keys=keys)
            found[title] = Validation(registry, plan.obs_spec, dataset.windows("val"), [0, 1], batch=2, device=torch.device("cpu"))(model)
    assert "val.ade" in found["all"]
    assert found["existence"] == found["speeds"]
    assert "val.loss" in found["existence"]
    assert "val.ade" not in found["existence"]


def test_evaluating_shows_the_moving_average_and_puts_the_weights_back(tiny: Callable[..., Plan]) -> None:
    from twm_core.nn.build import build_dataset

    dataset = build_dataset(tiny())
    trainer = Trainer(tiny(), dataset, dataset.windows("train"), torch.device("cpu"))
    assert trainer.average is not None
    with torch.no_grad():
        for p in trainer.model.parameters():
            p.add_(1.0)
    raw = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    with trainer.evaluating() as model:
        assert not model.training
        assert all(torch.equal(p, trainer.average.values[n]) for n, p in model.named_parameters())
    assert trainer.model.training
    assert all(torch.equal(p, raw[n]) for n, p in trainer.model.named_parameters())
