"""A logit that is not a number makes a draw or a mode that is not a number, or an error; never the first class."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from twm_core.errors import DataError
from twm_core.nn.distributions import Bernoulli, Categorical, Classes, Continue, Distribution, TwoHot, draw_class, symexp_bins, symlog_bins

NOT_FINITE = (math.nan, math.inf)


def logits(bad: float, *shape: int) -> Tensor:
    """Logits of which those of the first row hold one bad number."""
    found = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    found[0, ..., 1] = bad
    return found


FLOATS: dict[str, Callable[[float], Distribution]] = {
    "categorical": lambda bad: Categorical(logits(bad, 2, 3, 4)),
    "categorical mixed with the uniform": lambda bad: Categorical(logits(bad, 2, 3, 4), 0.01),
    "two-hot": lambda bad: TwoHot(logits(bad, 2, 5), symexp_bins(5)),
    "two-hot in symlog space": lambda bad: TwoHot(logits(bad, 2, 5), symlog_bins(5), in_symlog=True),
}


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize("name", FLOATS)
def test_a_value_from_logits_that_are_no_numbers_is_no_number(name: str, bad: float) -> None:
    dist = FLOATS[name](bad)
    for value in (dist.sample(torch.Generator().manual_seed(1)), dist.mode):
        assert value[0].flatten(-1).isnan().any(-1).all()
        assert value[1].isfinite().all()


@pytest.mark.parametrize("gradient", [True, False])
def test_with_and_without_gradient_alike(gradient: bool) -> None:
    dist = Categorical(logits(math.nan, 2, 3, 4).requires_grad_(gradient))
    assert dist.sample()[0].isnan().any(-1).all()


def test_a_flag_of_an_episode_that_goes_on_is_no_number() -> None:
    dist = Continue(torch.tensor([math.nan, 0.5]))
    for value in (dist.sample(), dist.mode):
        assert value.isnan().tolist() == [True, False]


@pytest.mark.parametrize("dist", [Classes(logits(math.nan, 2, 4)), Bernoulli(torch.tensor([0.5, math.nan]))], ids=["classes", "flags"])
@pytest.mark.parametrize("kind", ["sample", "mode"])
def test_an_integer_or_a_flag_that_cannot_be_nan_is_an_error(dist: Distribution, kind: str) -> None:
    with pytest.raises(DataError, match=r"the logits of (4 classes|flags) are not finite numbers"):
        dist.sample() if kind == "sample" else dist.mode


def test_a_uniform_number_of_exactly_0_draws_no_class_of_probability_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, **how: torch.zeros(shape, dtype=how.get("dtype")))
    index, _ = draw_class(torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert index.tolist() == [1, 0, 2]


def test_a_draw_that_is_finite_is_exactly_one_hot() -> None:
    value = Categorical(torch.randn(50, 3, 4)).sample()
    assert value.unique().tolist() == [0, 1]
