"""The words of a command line, read before Typer sees them.

The options of `twm train` depend on the components that the same command line chooses, so the words are read twice: once here, loosely,
to learn which plugin files, recipe files and components are named, and then by Typer, strictly, with the options that follow from
them. The reader here also tells in which order options stand, which Typer does not keep and precedence needs.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twm_core.errors import UsageError

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


def arguments(words: Sequence[str], takes_value: Mapping[str, bool]) -> list[str]:
    """The words that are neither options nor values of options.

    Args:
        words: The words after the command.
        takes_value: Known options by name and whether a value follows.
    """
    found: list[str] = []
    rest = list(words)
    while rest:
        at = first_argument(rest, takes_value)
        if "--" in rest[:at]:
            return found + rest[rest.index("--") + 1 :]
        found += rest[at : at + 1]
        rest = rest[at + 1 :]
    return found


def parse_value(text: str) -> Any:
    """A value as it stands after `=` in a TOML file; anything that is not TOML (`gru`, `../data`) is a string."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = table.get("value")
    return value if len(table) == 1 and isinstance(value, (str, bool, int, float, list, dict)) else text


def parse_setting(setting: str) -> tuple[str, Any]:
    """The path and the value of `--set path=value`.

    Raises:
        UsageError: It is not of that form.
    """
    path, equals, value = setting.partition("=")
    if not equals or not all(path.split(".")):
        raise UsageError(f"--set {setting!r} is not of the form path=value", "write for example --set training.lr=3e-4")
    return path, parse_value(value)


def words_to_complete(environ: Mapping[str, str]) -> list[str] | None:
    """The words that a shell wants completions for, without the program's name; None if no shell is asking."""
    if not environ.get(COMPLETE):
        return None
    return _split(environ.get("COMP_WORDS") or environ.get("_TYPER_COMPLETE_ARGS") or "")[1:]


def rejoined(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a bash completion with `--dynamics`, `=`, `gru` as the one word that the user typed.

    Bash splits words at `=` and hands the parts over separately, which Typer takes for three words.
    """
    if not environ.get(COMPLETE) or "COMP_WORDS" not in environ or not environ.get("COMP_CWORD", "").isdigit():
        return {}
    words, current = _split(environ["COMP_WORDS"]), int(environ["COMP_CWORD"])
    words += [""] * (current + 1 - len(words))
    joined: list[str] = []
    at = current
    for position, word in enumerate(words):
        if joined and (word == "=" or joined[-1].endswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
        if position == current:
            at = len(joined) - 1
    return {"COMP_WORDS": shlex.join(joined), "COMP_CWORD": str(at)}


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # the word being typed has an open quote
        return text.split()
