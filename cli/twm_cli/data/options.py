"""The options by which a command line chooses a reader and sets its fields.

    twm data import drone-csv clips/ --out clips.twm --reader.metres_per_pixel 0.1
    twm data import --map columns.toml table.csv --out table.twm

The words are read once before Typer sees them, to find the reader's name; its config is loaded, and each of its fields becomes the option
`--reader.FIELD` with its real type, range and help. `--map FILE` is short for the reader `columns` with `--reader.mapping FILE`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twm_cli.options.components import FieldOptions
from twm_cli.options.fields import option
from twm_cli.options.session import Session
from twm_cli.options.words import occurrences
from twm_core.data.schema import TRAFFIC_FEATURES
from twm_core.errors import TwmError, UsageError
from twm_core.plugin.registry import Registered
from twm_core.recipe.chosen import Chosen, configure
from twm_core.suggest import did_you_mean

if TYPE_CHECKING:
    pass

PREFIX = "reader"
COLUMNS = "columns"
MAPPING = "mapping"
"""The reader that `--map` chooses, and the field that it sets."""

_SHARED = {"-p": True, "--plugin": True, "--help": False}


def positions(words: Sequence[str], takes_value: Mapping[str, bool]) -> list[str]:
    """The words that are neither options nor values of options; an unknown option takes no value."""
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*found, *rest]
        if word.startswith("-") and word != "-":
            if takes_value.get(word, False):
                next(rest, None)
        else:
            found.append(word)
    return found


class ReaderOptions:
    """The reader that the words choose, and its options.

    Args:
        session: The call; its words are read here.
        extra: Options of the command itself and whether a value follows.
        positional: Whether the reader is the first argument; otherwise it is the value of `--reader`, and may be left out.

    Attributes:
        registered: The reader; None where no word names one.
        first_is_reader: Whether the first argument is the reader's name.

    Raises:
        TwmError: No reader is called so, or it has no such field. Not while a shell asks for completions or for help.
    """

    def __init__(self, session: Session, extra: Mapping[str, bool], *, positional: bool) -> None:
        self._session = session
        self._own = {**_SHARED, **extra}
        self._options = FieldOptions()
        self.first_is_reader = False
        try:
            self.registered: Registered | None = self._first_argument() if positional else self._named()
            if self.registered is not None:
                self._declare(self.registered)
            self._refuse_unknown()
        except TwmError:
            if not (session.completing or session.wants_help):
                raise
            self.registered = None

    @property
    def parameters(self) -> list[inspect.Parameter]:
        """The options of the reader's fields."""
        return self._options.parameters

    @property
    def _takes_value(self) -> dict[str, bool]:
        return {**self._own, **self._options.takes_value}

    @property
    def name(self) -> str:
        """The reader's name as the registry finds it."""
        assert self.registered is not None
        return self.registered.component.name

    def given(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that the words set, by name.

        Args:
            given: What Typer made of the words, by parameter.
        """
        values = self._options.given(self._session.words, self._takes_value, given, PREFIX)
        if given.get("mapping") is not None:
            values[MAPPING] = str(given["mapping"])
        return values

    def chosen(self, values: Mapping[str, Any]) -> Chosen:
        """The reader with these fields.

        Raises:
            UsageError: A value is not allowed.
        """
        assert self.registered is not None
        return configure(self.registered, values, prefix=f"--{PREFIX}.")

    def _first_argument(self) -> Registered | None:
        """The reader that the first argument names. Which word that is depends on the reader's options: the first that agrees counts."""
        readers = self._session.registry.components("reader")
        names = {r.component.name for r in readers} | {r.qualified for r in readers}
        for word in self._session.words:
            if word in names:
                registered = self._session.registry.find("reader", word)
                self._declare(registered)
                if positions(self._session.words, self._takes_value)[:1] == [word]:
                    self.first_is_reader = True
                    return registered
                self._forget()
        if self._maps():
            return self._session.registry.find("reader", COLUMNS, own="twm")
        loose = {w: True for w in self._session.words if w.startswith(f"--{PREFIX}.")}
        words = positions(self._session.words, {**self._own, **loose})
        if self._session.completing or self._session.wants_help or not words:
            return None
        self._session.registry.find("reader", words[0])  # raises, with a suggestion
        return None

    def _named(self) -> Registered | None:
        if self._maps():
            return self._session.registry.find("reader", COLUMNS, own="twm")
        named = [value for flag, value in occurrences(self._session.words, self._own) if flag == "--reader" and value]
        return self._session.registry.find("reader", named[-1]) if named else None

    def _maps(self) -> bool:
        return any(flag == "--map" for flag, _ in occurrences(self._session.words, self._own))

    def _forget(self) -> None:
        self._options = FieldOptions()

    def _declare(self, registered: Registered) -> None:
        self._forget()
        self._options.declare(registered, PREFIX)

    def _refuse_unknown(self) -> None:
        if self.registered is not None:
            self._options.refuse_unknown(self._session.words, self._takes_value, self.registered.whose)
            return
        for flag, _ in occurrences(self._session.words, self._takes_value):
            if flag.startswith("--") and "." in flag:
                raise UsageError(f"option {flag} without a reader", "name the reader: twm data readers lists them")


def reader_names(session: Session) -> Any:
    """A completer of reader names, with their summaries."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        rows = [(r.component.name, r.component.summary) for r in session.registry.components("reader")]
        return [row for row in rows if row[0].startswith(incomplete)]

    return complete


def signed(function: Any, parameters: Sequence[inspect.Parameter]) -> Any:
    """Give a command function the signature from which Typer makes its arguments and options."""
    function.__signature__ = inspect.Signature(list(parameters))
    return function


def plugin_option() -> inspect.Parameter:
    """`-p`, which every command has and the session has read already."""
    return option("plugin", list[Path], None, "--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin.")


def feature_names(text: str | None) -> tuple[str, ...] | None:
    """The features that `--features a,b` names; None where it is not given.

    Raises:
        UsageError: There is no such feature.
    """
    if text is None:
        return None
    names = tuple(dict.fromkeys(n.strip() for n in text.split(",") if n.strip()))
    for name in names:
        if name not in TRAFFIC_FEATURES:
            raise UsageError(
                f"--features: there is no feature {name!r}{did_you_mean(name, TRAFFIC_FEATURES)}",
                f"there are {', '.join(TRAFFIC_FEATURES)}",
            )
    if not names:
        raise UsageError(f"--features {text!r} names no feature", f"there are {', '.join(TRAFFIC_FEATURES)}")
    return names


def existing(paths: Iterable[Path]) -> list[Path]:
    """The same paths.

    Raises:
        UsageError: One of them does not exist.
    """
    found = list(paths)
    for path in found:
        if not path.exists():
            raise UsageError(f"{path} does not exist", "check the spelling")
    return found


def argument(name: str, annotation: Any, **settings: Any) -> inspect.Parameter:
    """An argument of a command function, as Typer reads it."""
    annotated = Annotated[annotation, typer.Argument(show_default=False, **settings)]
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotated)
