"""One call of `twm`: its words, its plugin files, and the registry, which is discovered when somebody asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from twm_core.plugin.registry import Plugin, Registry
    from twm_core.plugin.rules import PluginLists


@dataclass(frozen=True)
class Session:
    """What every command gets.

    Attributes:
        command: Name of the command, empty where none was given.
        words: The words after the command.
        files: One-file plugins given with `-p`.
        built_in: Names of the commands that plugins cannot take.
        completing: Whether a shell asks for completions: then nothing is printed and no word is an error.
    """

    command: str
    words: Sequence[str]
    files: Sequence[str]
    built_in: Sequence[str]
    completing: bool = False

    @cached_property
    def registry(self) -> Registry:
        """All installed plugins that the words let in, and the files given with `-p`."""
        from twm_core.plugin.registry import discover

        return discover(files=self.files, lists=self._lists())

    def _lists(self) -> list[PluginLists]:
        """What the words say of plugins; help and completion need not have what a recipe requires."""
        from twm_cli.options.plugin_words import lists_of
        from twm_core.errors import TwmError
        from twm_core.plugin.rules import PluginLists

        try:
            found = lists_of(self.command, self.words)
        except TwmError:
            if not self.completing:
                raise
            return [PluginLists(allow=("twm",), origins={"allow": "a recipe that cannot be read"})]
        if self.completing or self.wants_help:
            return [replace(each, require=()) for each in found]
        return found

    @property
    def wants_help(self) -> bool:
        """Whether `--help` is among the words."""
        return "--help" in self.words

    @cached_property
    def plugin_commands(self) -> Mapping[str, tuple[str, Plugin]]:
        """Commands that plugins bring: name to `module:function` and the plugin."""
        return {name: target for name, target in self.registry.commands().items() if name not in self.built_in}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should hear about plugins: the registry's warnings, and commands refused because `twm` has one of that name."""
        refused = (
            f"command {name!r} of plugin {plugin.name} ({plugin.whose}) is not available, because twm has one of that name"
            for name, (_, plugin) in self.registry.commands().items()
            if name in self.built_in
        )
        return (*self.registry.warnings, *refused)

    def warn(self, *texts: str) -> None:
        """Print warnings to standard error."""
        for text in () if self.completing else texts:
            typer.echo(f"warning: {text}", err=True)
