"""The number of CPU threads follows from the recipe alone, and a run records it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from twm_core.threads import LARGE, default_threads, use_threads


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_the_default_does_not_depend_on_the_machine(cores: int) -> None:
    torch.set_num_threads(cores)
    assert use_threads(0, 0) == torch.get_num_threads() == 1
    assert use_threads(0, LARGE) == torch.get_num_threads() == 2


def test_a_recipe_that_says_how_many_gets_them() -> None:
    assert use_threads(3, LARGE) == torch.get_num_threads() == 3
    assert use_threads(1, LARGE) == torch.get_num_threads() == 1


def test_the_default_recipe_takes_one_thread() -> None:
    """184 thousand parameters, as `twm train` prints."""
    assert default_threads(183_784) == 1
