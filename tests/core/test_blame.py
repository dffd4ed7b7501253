"""An exception out of a component gets a note with its name; errors for users and those of nobody get none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twm_core.checkpoint.manifest import RunFolder
from twm_core.errors import DataError
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import Plan
from twm_core.training.attribution import naming, raised_in
from twm_core.training.run import train


class Part:
    def fail(self) -> None:
        raise ValueError("no")

    def call(self, function: Callable[[], None]) -> None:
        function()


def test_the_innermost_component_is_named() -> None:
    inner, outer = Part(), Part()
    owned = {id(inner): "loss inner (acme 1.0)", id(outer): "loss outer (acme 1.0)"}
    with pytest.raises(ValueError, match="no") as caught:
        outer.call(inner.fail)
    assert raised_in(caught.value, owned) == "loss inner (acme 1.0)"
    assert raised_in(caught.value, {id(outer): "loss outer (acme 1.0)"}) == "loss outer (acme 1.0)"
    assert raised_in(caught.value, {}) is None


def test_the_note_names_the_component_and_what_is_left() -> None:
    part = Part()
    with pytest.raises(ValueError, match="no") as caught, naming({id(part): "loss x (acme 1.0)"}, lambda: "go on with --resume"):
        part.fail()
    assert caught.value.__notes__ == ["raised in loss x (acme 1.0); go on with --resume"]


def test_an_error_for_users_and_one_of_nobody_stay_as_they_are() -> None:
    for error in (DataError("bad row", "mend it"), KeyError("x")):
        with pytest.raises(type(error)) as caught, naming({}, lambda: ""):
            raise error
        assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    ("where", "whose"),
    [
        ("twm_multiagent.model:MultiagentEncoder", "encoder multiagent"),
        ("twm_losses.huber:Huber", "loss huber"),
        ("torch.optim:AdamW", "optimizer adamw"),
    ],
)
def test_training_names_the_component_that_raised_and_the_last_checkpoint(
    where: str, whose: str, tiny: Callable[..., Plan], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    module, _, name = where.partition(":")
    owner: Any = next(v for k, v in vars(importlib.import_module(module)).items() if k == name or k.lower() == name.lower())
    method = "step" if "optim" in module else "forward"
    honest, calls = getattr(owner, method), [0]

    def failing(self: Any, *given: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] > 40:
            raise RuntimeError("the dog ate the batch")
        return honest(self, *given, **more)

    monkeypatch.setattr(owner, method, failing)
    with pytest.raises(RuntimeError, match="the dog ate the batch") as caught:
        train(tiny({"training.steps": 200, "training.checkpoint_every": 1}), registry, tmp_path)
    last = RunFolder(tmp_path).pointed("latest")
    assert last is not None
    (note,) = caught.value.__notes__
    assert note == f"raised in {whose} (twm {registry.find(*whose.split(' ')).plugin.version}); the last good checkpoint is " + (
        f"{tmp_path / 'checkpoints' / last}: go on with --resume"
    )
