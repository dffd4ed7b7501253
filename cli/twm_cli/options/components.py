"""The fields of components as options of commands outside of recipes: `--reader.FIELD`, `--renderer.NAME.FIELD`.

The words of a command are read once before Typer sees them, because which options there are depends on the components that they choose.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from twm_cli.options.fields import field_option, word_type
from twm_cli.options.words import occurrences, parse_value
from twm_core.errors import UsageError
from twm_core.plugin.registry import Registered
from twm_core.suggest import did_you_mean


class FieldOptions:
    """The options of some components' fields.

    Attributes:
        parameters: What Typer makes options of.
        takes_value: Every flag, and whether a value follows it.
    """

    def __init__(self) -> None:
        self.parameters: list[inspect.Parameter] = []
        self.takes_value: dict[str, bool] = {}
        self._fields: dict[str, tuple[str, str, str, bool]] = {}  # flag -> parameter, prefix, field, whether it takes a TOML value

    def declare(self, registered: Registered, prefix: str) -> None:
        """Add the fields of a component as options `--PREFIX.FIELD`."""
        config = registered.load_config()
        values = config()
        for name, field in config.model_fields.items():
            path, parameter = f"{prefix}.{name}", f"option_{len(self.parameters)}"
            self.parameters.append(field_option(parameter, path, field, getattr(values, name), registered.whose))
            spelled = word_type(field.annotation)
            for flag, value_follows in ({f"--{path}": spelled is not bool} | ({f"--no-{path}": False} if spelled is bool else {})).items():
                self.takes_value[flag] = value_follows
                self._fields[flag] = (parameter, prefix, name, spelled is None)

    def given(self, words: Sequence[str], takes_value: Mapping[str, bool], typed: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """The fields of one component that the words set, by name.

        Args:
            words: The words of the command.
            takes_value: All options of the command, and whether a value follows.
            typed: What Typer made of the words, by parameter.
            prefix: As it was declared.
        """
        values: dict[str, Any] = {}
        for flag, _ in occurrences(words, takes_value):
            if flag in self._fields and self._fields[flag][1] == prefix:
                parameter, _, field, toml = self._fields[flag]
                value = typed[parameter]
                values[field] = parse_value(value) if toml else value.value if isinstance(value, Enum) else value
        return values

    def refuse_unknown(self, words: Sequence[str], takes_value: Mapping[str, bool], whose: str) -> None:
        """Explain an option with a dot that no component has; Typer would only say that it does not exist.

        Raises:
            UsageError: There is one.
        """
        for flag, _ in occurrences(words, takes_value):
            if flag.startswith("--") and "." in flag and flag not in takes_value:
                near = did_you_mean(flag, self._fields)
                alone = len({prefix for _, prefix, _, _ in self._fields.values()}) == 1
                known = ", ".join(field if alone else f"{prefix}.{field}" for _, prefix, field, _ in self._fields.values())
                raise UsageError(f"no option {flag}: {whose} has no such field{near}", f"its fields: {known or 'none'}")
