"""How a check speaks: `ConformanceFailure` for the author of a component, `Broken` and `NotApplicable` from inside a check."""

from __future__ import annotations

from typing import NoReturn

from twm_core.errors import TwmError


class ConformanceFailure(TwmError):
    """A component breaks a promise of its kind.

    Args:
        check: Name of the check.
        component: Whose promise it is: kind, name, distribution, version, and the situation in which it broke.
        message: What was seen.
        hint: What usually causes it.
    """

    def __init__(self, check: str, component: str, message: str, hint: str | None = None) -> None:
        super().__init__(f"{component} fails {check}: {message}", hint)
        self.check = check
        self.component = component


class Broken(Exception):
    """Raised inside a check: the promise does not hold. The check's frame adds whose promise it was."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotApplicable(Exception):
    """Raised inside a check: this subject makes no such promise, for the reason given. Not counted as passed."""


def broken(message: str, hint: str | None = None) -> NoReturn:
    """End a check as failed."""
    raise Broken(message, hint)
