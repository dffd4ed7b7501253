"""Signals of terminals and batch systems end a training with a checkpoint, after the step that is being done."""

from __future__ import annotations

import os
import signal

import pytest

from twm_core.training.stopping import STOPPING, stop_on_signals


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_sets_the_event_and_the_former_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.is_set()
    assert signal.getsignal(number) is before


def test_sighup_and_sigusr1_are_among_them() -> None:
    assert {"SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"} == {s.name for s in STOPPING}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_does_not_wait(number: signal.Signals) -> None:
    with stop_on_signals():
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_a_batch_system_may_repeat_its_warning() -> None:
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.is_set()


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)
