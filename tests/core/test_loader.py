"""Training batches: every window once in an epoch, and batch k a pure function of seed and k."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from twm_core.data.dataset import Batch, Windows
from twm_core.data.windows.loader import TrainingBatches, evenly_spaced


class Numbered(Windows):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int]) -> Batch:
        raise NotImplementedError

    def report(self) -> dict[str, int]:
        return {}


def batches(count: int, size: int, seed: int) -> TrainingBatches:
    return TrainingBatches(Numbered(count), batch=size, seed=seed)


@given(st.integers(1, 40), st.integers(1, 17), st.integers(0, 2**31), st.integers(1, 4))
def test_every_window_comes_up_once_in_each_epoch(count: int, size: int, seed: int, epochs: int) -> None:
    loader = batches(count, size, seed)
    needed = -(-count * epochs // size)
    row = [i for k in range(needed) for i in loader.indices(k)]
    for e in range(epochs):
        assert Counter(row[e * count : (e + 1) * count]) == Counter(range(count))


@given(st.integers(1, 40), st.integers(1, 17), st.integers(0, 2**31), st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_a_batch_depends_on_the_seed_and_its_number_only(count: int, size: int, seed: int, asked: list[int]) -> None:
    used = batches(count, size, seed)
    for k in asked:
        assert used.indices(k) == batches(count, size, seed).indices(k)


@given(st.integers(20, 60), st.integers(0, 1000))
def test_seeds_and_epochs_shuffle_differently(count: int, seed: int) -> None:
    loader = batches(count, count, seed)
    orders = [tuple(loader.indices(0)), tuple(loader.indices(1)), tuple(batches(count, count, seed + 1).indices(0))]
    assert len(set(orders)) == 3
    assert tuple(range(count)) not in orders


@given(st.integers(1, 500), st.integers(1, 600) | st.none())
def test_shown_windows_are_distinct_in_order_and_evenly_spaced(count: int, most: int | None) -> None:
    shown = evenly_spaced(Numbered(count), most)
    assert len(shown) == min(count, most or count)
    assert shown == sorted(set(shown))
    assert shown[0] == 0
    assert shown[-1] < count
    gaps = {b - a for a, b in pairwise(shown)}
    assert max(gaps, default=1) - min(gaps, default=1) <= 1
