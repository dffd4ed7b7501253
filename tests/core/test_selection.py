"""Keys chosen by a regular expression."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from twm_core.selection import KeyPattern, chosen


class Options(BaseModel):
    keys: KeyPattern


def test_a_pattern_matches_from_the_start_and_keeps_the_order() -> None:
    keys = ("vector.own2", "image.front", "vector.own", "reward")
    assert chosen(r"vector\.", keys) == ("vector.own2", "vector.own")
    assert chosen(r"vector\.own$", keys) == ("vector.own",)
    assert chosen("own", keys) == ()
    assert chosen(".*", keys) == keys


def test_what_is_no_regular_expression_is_refused_with_the_config() -> None:
    assert Options(keys="a|b").keys == "a|b"
    with pytest.raises(ValidationError, match=r"'\(' is not a regular expression"):
        Options(keys="(")
