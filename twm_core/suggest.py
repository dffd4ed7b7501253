"""Suggestions for misspelled names, used in every message about an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(given: str, known: Iterable[str]) -> str | None:
    """The known name that is most similar, None where none is similar enough."""
    found = difflib.get_close_matches(given, list(known), n=1)
    return found[0] if found else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known name, or an empty string."""
    close = closest(given, known)
    return "" if close is None else f"; did you mean {close!r}?"
