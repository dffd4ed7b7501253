"""Whatever an optimizer keeps is saved and restored, or refused; optimizers with modes are switched for validation and saving."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from twm_core.errors import CheckpointError
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import file_layer, option_layer, resolve
from twm_core.reporting import Reporter
from twm_core.training.optimizer_state import group_values, optimizer_state, restore_optimizer, set_mode
from twm_core.training.run import train

TINY = Path(__file__).parents[1] / "tiny.toml"

PLUGIN = '''
"""An optimizer of the schedule-free kind (Defazio et al., "The road less scheduled", 2024): numbers in its groups, and two modes."""
from twm_core import Component, OptimizerConfig, hookimpl


class ScheduleFreeConfig(OptimizerConfig):
    pass


@hookimpl
def twm_components():
    where = "schedule_free_of_a_test"
    return [Component(kind="optimizer", name="sf", summary="Schedule-free.", config=f"{where}:ScheduleFreeConfig", build=f"{where}:build")]


def build(config, given):
    import torch

    class ScheduleFree(torch.optim.Optimizer):
        def __init__(self, parameters, lr):
            super().__init__(parameters, {"lr": lr, "beta": 0.9, "k": 0, "weight_sum": 0.0, "lr_max": -1.0, "train_mode": False})
            self.seen = []

        def _move(self, weight, mode):
            for group in self.param_groups:
                if group["train_mode"] != mode:
                    for p in group["params"]:
                        if "z" in self.state[p]:
                            p.data.lerp_(self.state[p]["z"], weight(group["beta"]))
                    group["train_mode"] = mode

        def eval(self):
            self._move(lambda beta: 1 - 1 / beta, False)

        def train(self):
            self._move(lambda beta: 1 - beta, True)

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                assert group["train_mode"], "the optimizer is not in its training mode"
                group["lr_max"] = max(group["lr_max"], group["lr"])
                group["weight_sum"] += group["lr_max"] ** 2 + 0.01 * len(self.seen)
                share = group["lr_max"] ** 2 / group["weight_sum"]
                for p in group["params"]:
                    if p.grad is not None:
                        z = self.state[p].setdefault("z", p.detach().clone())
                        self.state[p]["count"] = self.state[p].get("count", 0) + 1
                        p.lerp_(z, share)
                        p.add_(p.grad, alpha=group["lr"] * (group["beta"] * (1 - share) - 1))
                        z.sub_(p.grad, alpha=group["lr"])
                group["k"] += 1
            self.seen.append((group["k"], torch.tensor(group["lr"])))

        def state_dict(self):
            return {**super().state_dict(), "seen": list(self.seen)}

        def load_state_dict(self, state):
            self.seen = list(state["seen"])
            super().load_state_dict(state)

    return ScheduleFree(list(given.parameters.values()), given.lr)
'''


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Registry]:
    file = tmp_path_factory.mktemp("free") / "schedule_free_of_a_test.py"
    file.write_text(PLUGIN)
    registry = discover(files=[file], environ={})
    changes = {"optimizer.component": "sf", "training.steps": 6, "training.validate_every": 2, "training.ema": 0.0}
    layers = [file_layer(TINY), *(option_layer(k, v, "test") for k, v in changes.items())]
    return assemble(resolve(layers), registry), registry


class Cut(Reporter):
    def progress(self, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        if step == 4:
            raise ConnectionError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_six_steps_in_one_go_equal_three_and_three_more(free: tuple[Plan, Registry], tmp_path: Path) -> None:
    plan, registry = free
    train(plan, registry, tmp_path / "whole")
    with pytest.raises(ConnectionError):
        train(plan, registry, tmp_path / "resumed", reporter=Cut())
    latest = tmp_path / "resumed" / "checkpoints" / "latest"
    latest.write_text("step-3\n")
    train(plan, registry, tmp_path / "resumed", resume=True)
    whole, resumed = (contents(tmp_path / name / "checkpoints") for name in ("whole", "resumed"))
    assert "step-6/trainer.safetensors" in whole
    assert [k for k in whole if whole[k] != resumed.get(k)] == []
    assert (tmp_path / "whole" / "metrics.jsonl").read_text() == (tmp_path / "resumed" / "metrics.jsonl").read_text()
    # What is evaluated later are the weights of the optimizer's evaluation mode, not those that were trained.
    from safetensors.torch import load_file

    checkpoint = tmp_path / "whole" / "checkpoints" / "step-6"
    weights, kept = load_file(checkpoint / "model.safetensors"), load_file(checkpoint / "trainer.safetensors")
    trained = {k.removeprefix("raw."): v for k, v in kept.items() if k.startswith("raw.")}
    assert trained
    assert any(not torch.equal(weights[k], v) for k, v in trained.items())


def test_a_checkpoint_of_a_version_that_saved_less_is_refused_for_such_an_optimizer(free: tuple[Plan, Registry], tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    from twm_core.tensor_files import file_hash

    plan, registry = free
    with pytest.raises(ConnectionError):
        train(plan, registry, tmp_path, reporter=Cut())
    for folder in (tmp_path / "checkpoints").glob("step-*"):
        file = folder / "trainer.safetensors"
        with safe_open(str(file), "pt") as stream:
            scalars = json.loads(stream.metadata()["twm"])
        del scalars["optimizer"]
        save_file(load_file(file), file, metadata={"twm": json.dumps(scalars)})
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"]["trainer.safetensors"]["sha256"] = file_hash(file)
        (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="did not save all that optimizer sf"):
        train(plan, registry, tmp_path, resume=True)


def net() -> nn.Linear:
    return nn.Linear(2, 1)


def test_only_what_changed_since_it_was_built_is_kept_of_the_groups() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    built = group_values(optimizer)
    optimizer.param_groups[0]["d"] = (1.0, {"a": [2, None, "x"]})
    tensors, kept = optimizer_state(model, optimizer, built=built)
    assert tensors == {}
    assert [list(g) for g in kept["groups"]] == [["d"]]
    fresh = torch.optim.SGD(net().parameters(), lr=0.1, momentum=0.5)
    restore_optimizer(net(), fresh, tensors, json.loads(json.dumps(kept)))
    assert fresh.param_groups[0]["d"] == (1.0, {"a": [2, None, "x"]})
    assert fresh.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize("place", ["state", "group", "own"])
def test_what_cannot_be_saved_is_refused_with_the_name_of_the_optimizer(place: str) -> None:
    model = net()
    thing: Any = object()

    class Odd(torch.optim.SGD):
        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), **({"thing": thing} if place == "own" else {})}

    optimizer = Odd(model.parameters(), lr=0.1)
    if place == "state":
        optimizer.state[model.weight]["thing"] = thing
    if place == "group":
        optimizer.param_groups[0]["thing"] = thing
    with pytest.raises(CheckpointError, match=r"optimizer odd \(acme 1\) keeps .*thing.* of type object, which a checkpoint cannot hold"):
        optimizer_state(model, optimizer, whose="optimizer odd (acme 1)")


def test_an_optimizer_without_modes_is_left_alone() -> None:
    set_mode(torch.optim.SGD(net().parameters(), lr=0.1), training=False)
