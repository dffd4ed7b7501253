"""The normalizer against NumPy on all rows at once."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from twm_core.nn.normalizer import Normalizer


@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(0, 10**6), st.sampled_from([0.0, 1e3, -1e6]))
def test_any_split_into_batches_gives_the_moments_of_all_rows(sizes: list[int], seed: int, shift: float) -> None:
    rows = np.random.default_rng(seed).normal(shift, [0.5, 20.0], size=(sum(sizes), 2))
    normalizer = Normalizer(2)
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        normalizer.update(torch.from_numpy(part))
    assert float(normalizer.count) == len(rows)
    if len(rows) > 1:
        np.testing.assert_allclose(normalizer.centre.numpy(), rows.mean(0), rtol=1e-6, atol=1e-5)
        std = rows.std(0)
        np.testing.assert_allclose(normalizer.std.numpy(), np.where(std < normalizer.floor, 1, std), rtol=1e-4)


def test_normalised_training_data_has_zero_mean_and_unit_deviation() -> None:
    rows = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 50.0, 0.1]) + torch.tensor(
        [0.0, 300.0, -5.0]
    )
    normalizer = Normalizer(3)
    normalizer.update(rows)
    out = normalizer(rows)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(0, unbiased=False), torch.ones(3), atol=1e-3, rtol=0)


def test_before_any_data_it_is_the_identity() -> None:
    values = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    normalizer = Normalizer(3)
    assert torch.equal(normalizer(values), values)
    normalizer.update(values[:0])
    assert torch.equal(normalizer(values), values)


def test_a_feature_that_never_varies_is_only_shifted() -> None:
    normalizer = Normalizer(2)
    normalizer.update(torch.tensor([[5.0, 0.0], [5.0, 2.0]]))
    torch.testing.assert_close(normalizer(torch.tensor([[6.0, 1.0]])), torch.tensor([[1.0, 0.0]]))


def test_statistics_survive_a_state_dict() -> None:
    first, second = Normalizer(2), Normalizer(2)
    rows = torch.randn(20, 2, generator=torch.Generator().manual_seed(1)) * 7 + 3
    first.update(rows[:12])
    second.load_state_dict(first.state_dict())
    first.update(rows[12:])
    second.update(rows[12:])
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key])
    assert not list(first.parameters())
