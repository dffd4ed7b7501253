"""The entry point of `twm`.

Only the module of the command that was called is imported; for the others the table below has a name and a sentence. A `TwmError`
and a word that cannot be understood end in one message on standard error and exit status 2; `TWM_TRACEBACK=1` shows the traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from twm_cli.options.panels import HELP_SETTINGS, PanelCommand
from twm_cli.options.session import Session
from twm_cli.options.words import first_argument, occurrences, rejoined, words_to_complete
from twm_cli.plugin_commands import load_command

COMMANDS = {
    "train": "Train a world model.",
    "eval": "Measure a trained world model against the baselines.",
    "reproduce": "Train and evaluate everything that a table needs.",
    "check": "Check that the parts of a recipe fit, without training.",
    "config": "Print the resolved recipe with the origin of each value.",
    "list-plugins": "List components and the plugins that provide them.",
    "describe": "Show a component's fields and what it maps.",
    "inspect": "Show what a checkpoint holds.",
    "new-plugin": "Write a plugin that installs, passes its tests and runs.",
    "check-plugin": "Test what the components of a plugin promise.",
    "data": "Import, look at and check recordings.",
}
"""Built-in commands: name and summary."""

GROUPS = ("data",)
"""Those that are groups of commands: their module has `group` where that of a command has `command`."""

_MODULES = {"data": "data.group", "eval": "eval.command"}
"""Modules of the commands that have a folder; that of any other is its name with underscores."""

SUPPORTED = ("linux", "darwin")
"""Values of `sys.platform` on which twm is tested; elsewhere one sentence says so."""

_USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]
"""What all errors about words have in common. Typer 0.26 has no public name for it; later ones have `TyperException` above it."""

_TAKES_VALUE = {"-p": True, "--plugin": True}


def main(words: Sequence[str] | None = None) -> int:
    """Run `twm`.

    Args:
        words: The words after the program's name; those of the process by default.

    Returns:
        The exit status: 0, 1 for a failure of the work, 2 for a user's error, 130 if interrupted.
    """
    words = list(sys.argv[1:] if words is None else words)
    if sys.platform not in SUPPORTED:
        typer.echo(f"warning: twm supports Linux and macOS; on {sys.platform} it is not tested", err=True)
    try:
        status = _run(words)
    except _USAGE_ERROR as error:
        if _wants_traceback():
            raise
        return _say(_with_given(error.format_message(), words), f"see {_help_command(words)}", status=max(error.exit_code, 1))
    except typer.Abort:
        return _say("aborted", None, status=1)
    except Exception as error:
        from twm_core.errors import TwmError

        if not isinstance(error, TwmError) or _wants_traceback():
            raise
        return _say(error.message, error.hint, status=2)
    return status


def _run(words: list[str]) -> int:
    os.environ.update(rejoined(os.environ))
    completing = words_to_complete(os.environ)
    session = _session(words if completing is None else completing, completing=completing is not None)
    app = _app(session, words)
    bare = not words or (session.command in GROUPS and not session.words)
    result = app(args=[*words, "--help"] if bare else words, prog_name="twm", standalone_mode=False)
    return result if isinstance(result, int) else 0


def _session(words: list[str], *, completing: bool) -> Session:
    at = first_argument(words, _TAKES_VALUE)
    command = words[at] if at < len(words) else ""
    # The words after a plugin's command belong to that command, -p among them.
    searched = words if command in COMMANDS else words[:at]
    if command in GROUPS:
        searched = [*words[: at + 1], *_module(command).own_words(words[at + 1 :])]
    files = [value for name, value in occurrences(searched, _TAKES_VALUE) if name in _TAKES_VALUE and value is not None]
    return Session(command=command, words=words[at + 1 :], files=files, built_in=tuple(COMMANDS), completing=completing)


def _group(name: str) -> Any:
    return _module(name)


def _module(name: str) -> Any:
    return import_module(f"twm_cli.{_MODULES.get(name, name.replace('-', '_'))}")


def _app(session: Session, words: Sequence[str]) -> typer.Typer:
    app = typer.Typer(name="twm", context_settings=HELP_SETTINGS, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback(help="World models of traffic made of interchangeable parts.")(_global_options)
    for name, summary in COMMANDS.items():
        if name == session.command and name in GROUPS:
            app.add_typer(_module(name).group(session), name=name, short_help=summary)
        elif name == session.command:
            function = _module(name).command(session)
            app.command(name, cls=PanelCommand, context_settings=HELP_SETTINGS, short_help=summary)(function)
        else:
            app.command(name, help=summary)(_placeholder)
    if session.command not in COMMANDS and "--version" not in words[: first_argument(words, _TAKES_VALUE)]:
        _add_plugin_commands(app, session)
    return app


def _add_plugin_commands(app: typer.Typer, session: Session) -> None:
    session.warn(*session.warnings)
    for name, (target, plugin) in session.plugin_commands.items():
        if name.partition(" ")[0] in GROUPS:
            continue  # shown by the group
        if name == session.command:
            app.command(name)(load_command(name, target, plugin.whose))
        else:
            app.command(name, help=f"From plugin {plugin.name} ({plugin.whose}).")(_placeholder)


def _placeholder() -> None:
    """Stands for a command that was not called; help needs its name and summary only."""


def _show_version(value: bool) -> None:
    if value:
        import twm_core

        typer.echo(f"twm {twm_core.__version__}")
        raise typer.Exit


def _global_options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)] = False,
    plugin: Annotated[list[str] | None, typer.Option("-p", "--plugin", metavar="FILE.py", help="Load a one-file plugin.")] = None,
) -> None:
    """Options before the command; the session has read them already."""


def _help_command(words: Sequence[str]) -> str:
    at = first_argument(words, _TAKES_VALUE)
    if at >= len(words) or words[at] not in COMMANDS:
        return "twm --help"
    called = [words[at]]
    if called[0] in GROUPS:
        called += [w for w in words[at + 1 : at + 2] if w in _module(called[0]).COMMANDS]
    return f"twm {' '.join(called)} --help"


def _with_given(message: str, words: Sequence[str]) -> str:
    """Typer's message about a bad value does not quote the value."""
    for at, word in enumerate(words):
        name, attached, value = word.partition("=")
        if name.startswith("--") and f"Invalid value for '{name}'" in message:
            given = value if attached else next(iter(words[at + 1 :]), "")
            return message if repr(given) in message else f"{message}, got {given!r}"
    return message


def _say(message: str, hint: str | None, *, status: int) -> int:
    typer.echo(f"error: {message}", err=True)
    if hint:
        typer.echo(f"hint: {hint}", err=True)
    return status


def _wants_traceback() -> bool:
    return os.environ.get("TWM_TRACEBACK", "") not in ("", "0")
