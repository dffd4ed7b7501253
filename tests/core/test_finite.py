"""Numbers that are no longer finite end a training with one error that names what is not, of whom, and a remedy that works."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from twm_core.checkpoint.manifest import RunFolder
from twm_core.errors import DataError
from twm_core.nn.build import build_world_model
from twm_core.nn.world_model import WorldModel
from twm_core.recipe.assembly import Plan
from twm_core.training.finite import check_gradient, check_loss, check_weights, diverged_remedy


def remedy() -> str:
    return "do this"


@pytest.fixture
def model(tiny: Callable[..., Plan]) -> WorldModel:
    return build_world_model(tiny(), seed=0)


def test_the_gradient_names_a_parameter_and_its_component(model: WorldModel, tiny: Callable[..., Plan]) -> None:
    names = [n for n, _ in model.named_parameters() if n.startswith("decoders.agents.")]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    check_gradient(torch.tensor(1.0), tiny(), model, 7, remedy)
    parameter = dict(model.named_parameters())[names[0]]
    parameter.grad = torch.full_like(parameter, math.nan)
    with pytest.raises(DataError, match=rf"step 8: the gradient is not finite.*: that of {names[0]} of decoder agents \(twm") as caught:
        check_gradient(torch.tensor(math.nan), tiny(), model, 7, remedy)
    assert caught.value.hint == "do this"


def test_weights_name_a_parameter_and_its_component(model: WorldModel, tiny: Callable[..., Plan]) -> None:
    check_weights(tiny(), model, 3, remedy)
    name, parameter = next((n, p) for n, p in model.named_parameters() if n.startswith("dynamics."))
    with torch.no_grad():
        parameter.fill_(math.inf)
    with pytest.raises(DataError, match=rf"such as {name} of dynamics rssm-cat \(twm .*; nothing was saved"):
        check_weights(tiny(), model, 3, remedy)


def test_the_loss_names_its_terms() -> None:
    check_loss(torch.tensor(1.0), {"a": torch.tensor(1.0)}, 0, remedy)
    with pytest.raises(DataError, match="step 1: loss term a is not a finite number"):
        check_loss(torch.tensor(math.nan), {"a": torch.tensor(math.nan), "b": torch.tensor(1.0)}, 0, remedy)
    with pytest.raises(DataError, match="step 1: loss term total is not"):
        check_loss(torch.tensor(math.nan), {"b": torch.tensor(1.0)}, 0, remedy)


def test_the_remedy_goes_back_to_a_checkpoint_only_where_there_is_one(trained: Path, tmp_path: Path) -> None:
    with_one, without = diverged_remedy(RunFolder(trained), 0.002), diverged_remedy(RunFolder(tmp_path), 0.002)
    assert with_one.endswith(f"step-12 is from before: twm train --run {trained} --resume --training.lr 0.0002")
    assert "there is no checkpoint yet" in without
    assert "--resume" not in without
