"""Errors carry a message and a hint, and form one hierarchy."""

from __future__ import annotations

import inspect

import pytest

from twm_core import Mismatch, TwmError, errors


def test_an_error_prints_its_hint_on_a_line_of_its_own() -> None:
    assert str(TwmError("the file is empty", "record again")) == "the file is empty\n  hint: record again"


def test_an_error_without_hint_is_its_message() -> None:
    error = TwmError("the file is empty")
    assert (str(error), error.message, error.hint) == ("the file is empty", "the file is empty", None)


def test_every_error_of_the_module_is_a_twm_error() -> None:
    found = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, Exception)]
    assert len(found) >= 8
    assert all(issubclass(c, TwmError) for c in found)


def test_a_mismatch_says_what_it_needs_and_what_it_got() -> None:
    error = Mismatch(needs="agent tokens", got="a scene token", remedy="choose another encoder")
    assert error.message == "needs agent tokens, got a scene token"
    assert error.hint == error.remedy == "choose another encoder"
    with pytest.raises(TwmError, match="needs agent tokens"):
        raise error
