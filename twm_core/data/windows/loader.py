"""Which windows make up training batch `k`: a pure function of seed and `k`, so that resuming needs nothing but the step.

The windows of an epoch are a permutation drawn from (seed, epoch); batches are cut from the endless row of epochs, so every window
comes up once in each epoch even where the batch size does not divide their number.

For the same reason several processes may read ahead (`read_ahead`): whoever makes batch `k`, it is the same batch, bit for bit, and they
are handed over in order. Where processes are forked (Linux), memory maps and arrays are shared with them, not copied.
"""

from __future__ import annotations

import errno
import multiprocessing
import multiprocessing.queues
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from twm_core.data.dataset import Batch, Windows
from twm_core.errors import DataError, TwmError


class TrainingBatches:
    """Batches of `windows` in shuffled order.

    Args:
        windows: The training windows.
        batch: Windows in a batch.
        seed: Seed of the order and of the augmentation.
        augment: Changes a batch by draws from a generator, as `Dataset.augment`; None leaves it alone.
    """

    def __init__(
        self, windows: Windows, *, batch: int, seed: int, augment: Callable[[Batch, torch.Generator], Batch] | None = None
    ) -> None:
        self.windows = windows
        self.size = batch
        self.seed = seed
        self.augment = augment
        self._epoch = -1
        self._order: list[int] = []

    def indices(self, k: int) -> list[int]:
        """The windows of batch `k`, counted from 0."""
        return [self._at(k * self.size + i) for i in range(self.size)]

    def __getitem__(self, k: int) -> Batch:
        batch = self.windows.batch(self.indices(k))
        if self.augment is None:
            return batch
        return self.augment(batch, torch.Generator().manual_seed((self.seed * 1_000_003 + k * 7_919 + 2) % 2**63))

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, len(self.windows))
        if epoch != self._epoch:
            # Mixing by a large odd factor keeps (seed, epoch) pairs apart without a shared stream.
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch * 7_919 + 1) % 2**63)
            self._order = torch.randperm(len(self.windows), generator=generator).tolist()
            self._epoch = epoch
        return self._order[place]


@dataclass(frozen=True)
class _Failure:
    """An error of another process, as text: exceptions do not travel well."""

    message: str
    hint: str


class _Guarded(TorchDataset[Batch | _Failure]):
    """Batches by number, for processes that read ahead."""

    def __init__(self, batches: TrainingBatches) -> None:
        self.batches = batches

    def __getitem__(self, index: int) -> Batch | _Failure:
        try:
            return self.batches[index]
        except TwmError as error:
            return _Failure(error.message, error.hint or "")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - told in the training process, which cannot see this one's traceback
            place = traceback.extract_tb(error.__traceback__)[-1]
            text = f"batch {index}: {type(error).__name__}: {error} ({place.filename}, line {place.lineno})"
            return _Failure(text, "set training.workers = 0 to see where it comes from")


class Stream:
    """Batches in order, and how long they were waited for.

    Attributes:
        waited: Seconds spent waiting for batches so far.
    """

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.waited = 0.0
        self._batches = batches

    def __next__(self) -> Batch:
        begin = time.perf_counter()
        try:
            return next(self._batches)
        finally:
            self.waited += time.perf_counter() - begin


@contextmanager
def read_ahead(batches: TrainingBatches, begin: int, end: int, *, workers: int = 0, prefetch: int = 2) -> Generator[Stream]:
    """The batches `begin .. end - 1`, in order, the same whatever `workers` is.

    Args:
        batches: What to read.
        begin: Number of the first batch.
        end: Number after the last one.
        workers: Processes that read ahead; 0 reads each batch when it is asked for.
        prefetch: Batches that each process reads ahead.

    Raises:
        DataError: A process could not read a batch, or was killed; raised where the batch is asked for.
    """
    if workers == 0 or begin >= end:
        yield Stream(batches[k] for k in range(begin, end))
        return
    with warnings.catch_warnings():
        # More processes than processors may be slow, but they are what was asked for; the logged waiting time tells.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader = DataLoader(
            _Guarded(batches),
            batch_size=None,
            sampler=range(begin, end),
            num_workers=min(workers, end - begin),
            prefetch_factor=prefetch,
            collate_fn=_as_it_is,
            worker_init_fn=_prepare_worker,
            # Elsewhere torch's choice: forked processes are not safe on macOS and do not exist on Windows.
            multiprocessing_context=multiprocessing.get_context("fork") if sys.platform == "linux" else None,
            # Without one of its own, the loader would draw from torch's global generator and so change the training.
            generator=torch.Generator(),
        )
        try:
            source = iter(loader)
        except OSError as error:
            raise DataError(f"cannot start {loader.num_workers} processes that read batches: {error.strerror or error}", _FEWER) from error
    checked = _checked(source)
    del source
    try:
        yield Stream(checked)
    finally:
        # Drops the loader's iterator, which has no other public way to end its processes.
        checked.close()


def _checked(source: Iterator[Batch | _Failure]) -> Generator[Batch]:
    try:
        for batch in source:
            if isinstance(batch, _Failure):
                raise DataError(batch.message, batch.hint)
            yield batch
    except (RuntimeError, OSError) as error:
        text = str(error)
        if f"exit code: {_NOT_SENT}" in text or f"exit code {_NOT_SENT}" in text or _out_of_descriptors(error):
            raise DataError("a process that reads batches cannot hand them over: too many open files", _FEWER) from error
        if "DataLoader worker" not in text:
            raise
        raise DataError(
            "a process that reads batches ended without a message; most often memory, shared memory or open files ran out", _FEWER
        ) from error
    finally:
        # An error keeps this frame, and what it names would keep its processes.
        del source


def _as_it_is(batch: Any) -> Any:
    return batch


def _out_of_descriptors(error: BaseException) -> bool:
    return getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error)


def _prepare_worker(_: int) -> None:
    """Make a process that reads batches end with its training process, and only with it; and end at once if it cannot hand over a batch.

    Ctrl-C, a closed terminal and the signals of a batch system go to all processes; the training process decides what happens then, and
    tells the others to end. So the first SIGTERM is ignored, which may have been sent to all of them; the training process sends another
    one to a process that does not end. Batches are handed over by other threads of this process. An error of these would only be printed,
    and the training process would wait for that batch for ever.
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_next_time)
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_not_sent)
    sys.excepthook = _not_sent


def _end_next_time(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_DFL)


def _not_sent(*_: object) -> None:
    os._exit(_NOT_SENT)


_NOT_SENT = 71
"""Exit status of a process that could not hand over a batch."""

_FEWER = "lower training.workers or training.prefetch, set training.workers = 0, or raise the limits of the system (ulimit -n, memory)"


def evenly_spaced(windows: Windows, most: int | None) -> list[int]:
    """At most `most` window numbers, evenly spaced over all of them."""
    count = len(windows)
    if most is None or most >= count:
        return list(range(count))
    return [i * count // most for i in range(most)]
