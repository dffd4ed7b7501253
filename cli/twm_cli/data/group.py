"""The command group `twm data`: import recordings, look at them, check them.

As in `twm_cli.main`, only the module of the command that was called is imported. Plugins bring further commands
under names that begin with `data ` (the simulator's is `data simulate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from twm_cli.options.panels import HELP_SETTINGS, PanelCommand
from twm_cli.options.session import Session
from twm_cli.options.words import first_argument
from twm_cli.plugin_commands import load_command
from twm_core.errors import UsageError

COMMANDS = {
    "import": "Read recordings of any known format into a store.",
    "info": "Show what a store holds.",
    "validate": "Check every file and every value of a store.",
    "show": "Draw a scenario as a picture and as an animation.",
    "split": "Divide a store into train, val and test.",
    "pack": "Write a store into one file.",
    "unpack": "Make a store of such a file.",
    "doctor": "Find what is wrong with recordings before they are imported.",
    "readers": "List the formats that can be read.",
    "record": "Record episodes of a simulator into a store.",
    "example": "Write a small recording in a reader's format.",
}
"""Commands of the group: name and summary."""

OF_PLUGINS = {"simulate": ("Simulate traffic and import it.", "sumo")}
"""Commands that a plugin of twm brings: what they do, and the extra that they need."""

_MODULES = {"import": "importing"}
"""The module of a command has its name, but for a word of Python."""

_TAKES_VALUE = {"-p": True, "--plugin": True}


def own_words(words: Sequence[str]) -> Sequence[str]:
    """Those of the words after `data` in which `-p` names a plugin file: the words of a plugin's command are its own."""
    at = first_argument(words, _TAKES_VALUE)
    return words if at < len(words) and words[at] in COMMANDS else words[:at]


def group(session: Session) -> typer.Typer:
    """The group, with the function of the command that the words call."""
    app = typer.Typer(name="data", context_settings=HELP_SETTINGS, rich_markup_mode=None)
    app.callback(help="Import, look at and check recordings.")(_group_options)
    at = first_argument(session.words, _TAKES_VALUE)
    called = session.words[at] if at < len(session.words) else ""
    for name, summary in COMMANDS.items():
        if name == called:
            function = import_module(f"twm_cli.data.{_MODULES.get(name, name)}").command(
                replace(session, command=name, words=session.words[at + 1 :])
            )
            app.command(name, cls=PanelCommand, context_settings=HELP_SETTINGS, short_help=summary)(function)
        else:
            app.command(name, help=summary)(_placeholder)
    if called not in COMMANDS:
        _add_plugin_commands(app, session, called)
    return app


def _add_plugin_commands(app: typer.Typer, session: Session, called: str) -> None:
    session.warn(*session.warnings)
    brought = {name.partition(" ")[2]: target for name, target in session.plugin_commands.items() if name.startswith("data ")}
    session.warn(*_refused(brought))
    for name, (target, plugin) in brought.items():
        if name in COMMANDS:
            continue
        if name == called:
            app.command(name)(load_command(f"data {name}", target, plugin.whose))
        else:
            help_ = OF_PLUGINS[name][0] if name in OF_PLUGINS else f"From plugin {plugin.name} ({plugin.whose})."
            app.command(name, help=help_)(_placeholder)
    if called in OF_PLUGINS and called not in brought and not session.completing:
        extra = OF_PLUGINS[called][1]
        raise UsageError(
            f"no loaded plugin brings twm data {called}",
            f'pip install "twm[{extra}]", and see twm list-plugins --broken if the plugin {extra} did not load',
        )


def _refused(brought: Mapping[str, tuple[str, object]]) -> list[str]:
    return [f"command 'data {name}' of a plugin is not available, because twm has one of that name" for name in brought if name in COMMANDS]


def _placeholder() -> None:
    """Stands for a command that was not called; help needs its name and summary only."""


def _group_options(
    plugin: Annotated[list[Path] | None, typer.Option("-p", "--plugin", metavar="FILE.py", help="Load a one-file plugin.")] = None,
) -> None:
    """Options before the command; the session has read them already."""
