"""From config fields to options."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge
from pydantic import BaseModel, Field

from twm_cli.options.fields import bounds, inline, range_text, type_name, word_type


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    a: int = 1
    b: str | None = None


@pytest.mark.parametrize(
    ("annotation", "word", "name"),
    [
        (int, int, "int"),
        (float | None, float, "float or none"),
        (Annotated[int, Ge(1)] | None, int, "int or none"),
        (Literal["a", "b"], Literal["a", "b"], "one of a, b"),
        (Path | None, Path, "Path or none"),
        (Colour, Colour, "Colour"),
        (int | str, None, "int or str"),
        (tuple[int, ...], None, "tuple[int, ...]"),
        (dict[str, int], None, "dict[str, int]"),
        (Inner, None, "Inner"),
    ],
)
def test_a_type_is_an_option_of_that_type_where_one_word_can_spell_it(annotation: Any, word: Any, name: str) -> None:
    assert word_type(annotation) == word
    assert type_name(annotation) == name


def test_inclusive_bounds_are_ranges_and_exclusive_ones_are_words() -> None:
    class Fields(BaseModel):
        both: int = Field(1, ge=0, le=9)
        open: float = Field(0.5, gt=0, lt=1)
        inner: Annotated[int, Ge(3)] | None = None
        free: int = 0

    fields = Fields.model_fields
    assert bounds(fields["both"]) == (0, 9, [])
    assert bounds(fields["open"]) == (None, None, ["(above 0)", "(below 1)"])
    assert bounds(fields["inner"])[0] == 3
    assert [range_text(f) for f in fields.values()] == ["at least 0, at most 9", "above 0, below 1", "at least 3", ""]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Path("a/b"), '"a/b"'),
        (Colour.RED, '"red"'),
        (Inner(), "{a = 1}"),
        ((1, 2.5, True), "[1, 2.5, true]"),
        ({"a b": "x\ny"}, '{"a b" = "x\\ny"}'),
        (float("inf"), "inf"),
    ],
)
def test_values_are_written_as_a_recipe_file_would_hold_them(value: object, text: str) -> None:
    assert inline(value) == text
