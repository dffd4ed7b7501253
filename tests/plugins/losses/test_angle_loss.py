"""The loss on headings against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from twm_losses.motion.angle import build
from twm_losses.motion.config import AngleConfig

FORMS = {
    "cosine": lambda d: 1 - np.cos(d),
    "squared": lambda d: ((d + np.pi) % (2 * np.pi) - np.pi) ** 2,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(5))
def test_it_equals_numpy_over_agents_that_moved(drives: Any, form: Any, seed: int) -> None:
    drive = drives(seed)
    terms = build(AngleConfig(form=form, reconstruction=0.5, prediction=2.0), drive.specs)(drive.outputs(), drive.batch)
    cost = FORMS[form](drive.guess("heading") - drive.true("heading"))[drive.moved.numpy()].mean()
    np.testing.assert_allclose([terms["reconstruction"].item(), terms["prediction"].item()], [0.5 * cost, 2 * cost], rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_whole_turns_cost_nothing(drive: Any, form: Any) -> None:
    heading = drive.names.index("heading")
    drive.decoded.data[..., heading] = drive.batch["agents.state"][..., drive.seen_names.index("heading")] + 4 * np.pi
    assert build(AngleConfig(form=form), drive.specs)(drive.outputs(), drive.batch)["prediction"].item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_only_headings_of_agents_that_moved_are_trained(drive: Any, form: Any) -> None:
    build(AngleConfig(form=form), drive.specs)(drive.outputs(), drive.batch)["prediction"].backward()
    gradient = drive.decoded.grad
    assert gradient.isfinite().all()
    assert ((gradient != 0).any(dim=-1) == drive.moved).all()
    assert (gradient != 0).any(dim=0).any(dim=0).any(dim=0).tolist() == [n == "heading" for n in drive.names]


def test_an_empty_scene_costs_nothing_and_trains_nothing(drives: Any) -> None:
    drive = drives(presence=0.0)
    term = build(AngleConfig(), drive.specs)(drive.outputs(), drive.batch)["prediction"]
    term.backward()
    assert term.item() == 0
    assert not drive.decoded.grad.any()


def test_a_factor_of_zero_leaves_the_branch_out_and_two_are_refused(drive: Any) -> None:
    assert AngleConfig().branches() == {"prediction"}
    assert set(build(AngleConfig(), drive.specs)(drive.outputs(reconstruction={}), drive.batch)) == {"prediction"}
    with pytest.raises(ValidationError, match="reconstruction and prediction are both 0; leave the loss out instead"):
        AngleConfig(prediction=0)
