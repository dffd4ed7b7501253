"""Suggestions for misspelled names."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from twm_core.suggest import did_you_mean

NAMES = st.text(string.ascii_lowercase, min_size=4, max_size=12)


def test_the_closest_name_is_offered() -> None:
    assert did_you_mean("hiden", ["hidden", "layers"]) == "; did you mean 'hidden'?"


def test_nothing_is_offered_where_nothing_is_close() -> None:
    assert did_you_mean("zzzz", ["hidden", "layers"]) == ""
    assert did_you_mean("hidden", []) == ""


@given(NAMES, st.integers(0, 11))
def test_a_name_with_one_letter_missing_is_found(name: str, at: int) -> None:
    # 2 M / T with M = n - 1 letters in common of T = 2 n - 1 is at least 6 / 7, above the cutoff.
    at %= len(name)
    assert did_you_mean(name[:at] + name[at + 1 :], [name, "0" * 8]) == f"; did you mean {name!r}?"
