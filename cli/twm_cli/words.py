"""The words of a command line, read before Typer sees them.

The options of `twm train` depend on the components that the same command line chooses, so the words are read twice: once here, loosely,
to learn which plugin files, recipe files and components are named, and then by Typer, strictly, with the options that follow from
them. The reader here also tells in which order options stand, which Typer does not keep and precedence needs.
"""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

COMPLETE = "_TWM_COMPLETE"
"""The variable by which a shell asks for completions."""


def occurrences(words: Sequence[str], takes_value: Mapping[str, bool]) -> Iterator[tuple[str, str | None]]:
    """Every option among `words` in order, with its value.

    Args:
        words: The words after the command.
        takes_value: Known options by name and whether a value follows. An unknown option is yielded too, and is taken to have a value
            only where that is attached with `=`.
    """
    rest = iter(words)
    for word in rest:
        if word == "--":
            return
        if not word.startswith("-") or word == "-":
            continue
        if word.startswith("--"):
            name, attached, value = word.partition("=")
        else:
            name, value = word[:2], word[2:]
            attached = value
        if attached:
            yield name, value
        elif takes_value.get(name, False):
            following = next(rest, None)
            if following is None:  # Typer reports the missing value
                return
            yield name, following
        else:
            yield name, None


def first_argument(words: Sequence[str], takes_value: Mapping[str, bool]) -> int:
    """Position of the first word that is neither an option nor the value of one; `len(words)` if there is none."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if takes_value.get(words[at], False) else 1
    return min(at, len(words))


def parse_value(text: str) -> Any:
    """A value as it stands after `=` in a TOML file; anything that is not TOML (`gru`, `../data`) is a string."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = table.get("value")
    return value if len(table) == 1 and isinstance(value, str | bool | int | float | list | dict) else text


def words_to_complete(environ: Mapping[str, str] = os.environ) -> list[str] | None:
    """The complete words that a shell wants completions for, without the program's name; None if no shell is asking.

    Bash splits words at `=` and hands the parts over separately; here they are joined again.
    """
    if not environ.get(COMPLETE):
        return None
    text = environ.get("COMP_WORDS") or environ.get("_TYPER_COMPLETE_ARGS") or ""
    try:
        words = shlex.split(text)
    except ValueError:  # an open quote: the word being typed
        words = text.split()
    joined: list[str] = []
    for word in words[1:]:
        if joined and (word.startswith("=") or joined[-1].endswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined
