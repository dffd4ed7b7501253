"""Means over what exists."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from twm_core.nn.masking import masked_mean


@given(st.integers(1, 4), st.integers(1, 4), st.booleans(), st.integers(0, 10**6))
def test_a_masked_mean_equals_numpy_on_what_is_left(rows: int, columns: int, features: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, columns, 3) if features else (rows, columns))
    mask = rng.random((rows, columns)) < 0.5
    mask[0, 0] = True
    got = masked_mean(torch.from_numpy(values), torch.from_numpy(mask))
    np.testing.assert_allclose(got.numpy(), values[mask].mean())


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (0, 3)])
def test_a_mean_over_nothing_is_zero_with_a_zero_gradient(shape: tuple[int, ...]) -> None:
    values = torch.ones(shape, requires_grad=True)
    mean = masked_mean(values, torch.zeros(shape[:2], dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0
    assert values.grad is not None
    assert not values.grad.any()


def test_what_is_masked_has_no_gradient() -> None:
    values = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    masked_mean(values, torch.tensor([True, False, True])).backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0.5, 0, 0.5]
