"""Choosing keys by a regular expression, as options of encoders, decoders and losses do. Torch-free.

A pattern is matched from the start of a key (`re.match`), as in DreamerV3: `image` takes every key that begins with `image`, and
`vector\\.own$` takes that one only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


KeyPattern = Annotated[str, AfterValidator(_compiles)]
"""The type of a config field that holds such a pattern; one that does not compile is refused with the config."""


def chosen(pattern: str, keys: Iterable[str]) -> tuple[str, ...]:
    """The keys that a pattern matches, in their order."""
    return tuple(k for k in keys if re.match(pattern, k))
