"""Processes that read ahead give the batches of none, in order, and their errors reach the user as one message."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import pytest
import torch

from twm_core.data.dataset import Batch, Windows
from twm_core.data.windows.loader import TrainingBatches, read_ahead
from twm_core.errors import DataError


class Squares(Windows):
    """Windows whose batch says which they are, and that fail in some way at window 7 if told to."""

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def __len__(self) -> int:
        return 11

    def batch(self, indices: Sequence[int]) -> Batch:
        if 7 in indices and self.fault == "data":
            raise DataError("row 3 of clip.csv is damaged", "repair it")
        if 7 in indices and self.fault == "bug":
            raise KeyError("colour")
        if 7 in indices and self.fault == "killed" and torch.utils.data.get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        # As windows of scenarios: agents before time in memory.
        number = torch.tensor(list(indices), dtype=torch.float32)
        return {"number": number, "square": (number[:, None, None] ** torch.ones(len(indices), 3, 2)).transpose(1, 2)}

    def report(self) -> dict[str, int]:
        return {}


def noisy(batch: Batch, generator: torch.Generator) -> Batch:
    return {**batch, "noise": torch.rand(3, generator=generator)}


def batches(fault: str = "") -> TrainingBatches:
    return TrainingBatches(Squares(fault), batch=4, seed=5, augment=noisy)


def collected(begin: int, end: int, *, fault: str = "", **options: int) -> list[Batch]:
    with read_ahead(batches(fault), begin, end, **options) as stream:
        return [next(stream) for _ in range(begin, end)]


@pytest.mark.parametrize("workers", [1, 3])
def test_processes_that_read_ahead_change_nothing(workers: int) -> None:
    before = torch.get_rng_state()
    alone, together = collected(0, 9), collected(0, 9, workers=workers, prefetch=2)
    for one, other in zip(alone, together, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.equal(value, other[key])
            assert value.stride() == other[key].stride()
    # The order and the noise of a training run come from elsewhere, so a loader must draw nothing.
    assert torch.equal(torch.get_rng_state(), before)


def test_a_resumed_stream_goes_on_where_the_other_stopped() -> None:
    whole, rest = collected(0, 8), collected(5, 8, workers=2)
    for one, other in zip(whole[5:], rest, strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_error_of_a_process_is_the_error_of_the_data() -> None:
    with pytest.raises(DataError, match=r"row 3 of clip\.csv is damaged") as caught:
        collected(0, 9, fault="data", workers=2)
    assert caught.value.hint == "repair it"


def test_a_bug_in_a_process_is_one_message_that_names_the_batch_and_the_place() -> None:
    with pytest.raises(DataError, match=r"batch \d: KeyError: 'colour' \(.*test_read_ahead.py, line \d+\)") as caught:
        collected(0, 9, fault="bug", workers=1)
    assert "training.workers = 0" in str(caught.value.hint)


def test_a_process_that_is_killed_is_one_message_with_a_remedy() -> None:
    with pytest.raises(DataError, match="a process that reads batches ended") as caught:
        collected(0, 9, fault="killed", workers=1)
    assert "lower training.workers" in str(caught.value.hint)


def test_leaving_the_stream_ends_its_processes() -> None:
    import multiprocessing

    with read_ahead(batches(), 0, 100, workers=2) as stream:
        next(stream)
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


def test_waiting_is_measured() -> None:
    with read_ahead(batches(), 0, 2) as stream:
        assert stream.waited == 0
        next(stream)
        assert stream.waited > 0
