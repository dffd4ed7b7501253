"""The options by which a command line changes the recipe, generated for the components that the same command line chooses.

    twm train --dynamics rssm-cat --dynamics.hidden 256 --loss huber --loss kl --loss.kl.free_nats 1 --set training.lr=3e-4

`RecipeOptions` reads the words once to find the recipe files and the chosen components, loads the configs of these only, and offers one
option for each of their fields, spelled as the dotted path that the field has in a recipe file. Layers, lowest first: the defaults
(or the recipe of the run that is resumed), files, components chosen on the command line, other options in the order of the words.
Components come before the other options so that `--dynamics.hidden 64 --dynamics gru` means what it says in either order. A preset takes
the place of the defaults, wherever among the words or in a file it is named.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from twm_cli.options.fields import bounds, field_option, option, word_type
from twm_cli.options.session import Session
from twm_cli.options.words import occurrences, parse_setting, parse_value
from twm_core.config import ComponentConfig
from twm_core.errors import TwmError, UsageError
from twm_core.kinds import RECIPE_KINDS
from twm_core.plugin.registry import Registered
from twm_core.plugin.rules import PLUGINS
from twm_core.recipe.assembly import find_part
from twm_core.recipe.fusion import FusionConfig
from twm_core.recipe.layers import FUSION, PRESET, TABLES, TRAINING, Layer, Recipe, default_layer, file_layer, option_layer, resolve
from twm_core.recipe.pins import PluginsConfig
from twm_core.recipe.presets import SIZE, about_preset, preset_names
from twm_core.recipe.training_config import TrainingConfig
from twm_core.suggest import did_you_mean

SHORTHANDS = {"--steps": "training.steps", "--seed": "training.seed"}
_TABLES: dict[str, type[ComponentConfig]] = {FUSION: FusionConfig, TRAINING: TrainingConfig, PLUGINS: PluginsConfig}
_PRESET_WORDS = {"--preset": PRESET, "--size": SIZE}
_SHARED = {
    **dict.fromkeys(_PRESET_WORDS, True),
    "-c": True,
    "--config": True,
    "--set": True,
    "-p": True,
    "--plugin": True,
    **dict.fromkeys(SHORTHANDS, True),
}


class RecipeOptions:
    """The recipe options of one command line.

    Args:
        session: The call; its words are read here.
        extra: Options of the command itself, by name, and whether a value follows.
        base: The lowest layer in place of the defaults.

    Raises:
        TwmError: A recipe file cannot be read, or a chosen component is unknown. Not while a shell asks for completions.
    """

    def __init__(self, session: Session, extra: Mapping[str, bool], base: Layer | None = None) -> None:
        self._session = session
        self._takes_value = {**_SHARED, **extra, "--help": False, **{f"--{slot}": True for slot in RECIPE_KINDS}}
        self._paths: dict[str, tuple[str, str, bool]] = {}  # option -> parameter, dotted path, whether it takes a TOML value
        self._base = base or default_layer()
        self._parts: dict[str, Registered] = {}  # path prefix -> component
        self.parameters: list[inspect.Parameter] = []
        try:
            self._lower = [self._base, *self._file_layers(), *self._preset_layers(), *self._choice_layers()]
            recipe = resolve(self._lower)
        except TwmError:
            if not session.completing:
                raise
            self._lower = [self._base]
            recipe = resolve(self._lower)
        self._declare(recipe)
        if not session.completing:
            self._refuse_unknown(recipe)

    def recipe(self, given: Mapping[str, Any]) -> Recipe:
        """The resolved recipe.

        Args:
            given: What Typer made of the words, by parameter.
        """
        return resolve([*self._lower, *self._option_layers(given)])

    def changes(self) -> bool:
        """Whether any word changes the recipe."""
        unchanging = {"-p", "--plugin"}
        return any(
            name in self._paths or name.removeprefix("--") in RECIPE_KINDS or (name in _SHARED and name not in unchanging)
            for name, _ in occurrences(self._session.words, self._takes_value)
        )

    def _words(self) -> list[tuple[str, str]]:
        return [(n, v) for n, v in occurrences(self._session.words, self._takes_value) if v is not None]

    def _file_layers(self) -> list[Layer]:
        return [file_layer(value) for name, value in self._words() if name in ("-c", "--config")]

    def _preset_layers(self) -> list[Layer]:
        return [Layer(f"option {name}", {_PRESET_WORDS[name]: value}) for name, value in self._words() if name in _PRESET_WORDS]

    def _choice_layers(self) -> list[Layer]:
        layers: list[Layer] = []
        several: dict[str, list[str]] = {}
        for name, value in self._words():
            slot = name.removeprefix("--")
            if name == "--set" and _chooses(value):
                layers.append(_set_layer(value))
            elif name.startswith("--") and slot in RECIPE_KINDS:
                if RECIPE_KINDS[slot].several:
                    several.setdefault(slot, []).append(value)
                else:
                    layers.append(option_layer(f"{slot}.component", value, f"option {name}"))
        return layers + [option_layer(f"{slot}.components", names, f"option --{slot}") for slot, names in several.items()]

    def _option_layers(self, given: Mapping[str, Any]) -> list[Layer]:
        layers = []
        for name, value in occurrences(self._session.words, self._takes_value):
            if name == "--set" and value is not None and not _chooses(value):
                layers.append(_set_layer(value))
            elif name in self._paths:
                parameter, path, toml = self._paths[name]
                typed = given[parameter]
                layers.append(option_layer(path, parse_value(typed) if toml else _portable(typed), f"option {name}"))
        return layers

    def _declare(self, recipe: Recipe) -> None:
        chosen = "components"
        self.parameters += [
            option("config", list[Path], None, "--config", "-c", metavar="FILE", help="Recipe file (TOML); later ones win."),
            option("settings", list[str], None, "--set", metavar="PATH=VALUE", help="Any value of the recipe by its dotted path."),
            option("plugin", list[Path], None, "--plugin", "-p", metavar="FILE.py", help="Load a one-file plugin."),
        ]
        presets = [(n, about_preset(n)[0]) for n in preset_names()]

        def complete(incomplete: str) -> list[tuple[str, str]]:
            return [row for row in presets if row[0].startswith(incomplete)]

        help_ = f"A whole recipe in place of the defaults: {', '.join(n for n, _ in presets)}."
        self.parameters.append(option("preset", str, None, "--preset", help=help_, metavar="NAME", autocompletion=complete))
        self.parameters.append(option("size", str, None, "--size", metavar="SIZE", help="Size of the preset, where it has several."))
        for slot, kind in RECIPE_KINDS.items():
            help_ = kind.summary + (" Repeat it for several; it replaces the selection." if kind.several else "")
            names = [p.component for p in recipe.slots[slot]]
            settings = {"metavar": "NAME", "help": help_, "rich_help_panel": chosen, "autocompletion": self._completer(slot)}
            type_, default = (list[str], names) if kind.several else (str, names[0])
            self.parameters.append(option(slot, type_, default, f"--{slot}", **settings))
        for name, config in _TABLES.items():
            self._add_fields(config, recipe.tables[name], f"{name}.", name)
        for slot, parts in recipe.slots.items():
            for part in parts:
                prefix = f"{slot}.{part.component}." if RECIPE_KINDS[slot].several else f"{slot}."
                try:
                    registered = find_part(slot, part.component, recipe, self._session.registry)
                    config = registered.load_config()
                except TwmError as error:
                    if not (self._session.completing or self._session.wants_help):
                        raise
                    self._session.warn(f"options of {slot} {part.component} are not shown: {error.message}")
                    continue
                self._parts[prefix] = registered
                self._add_fields(config, part.options, prefix, registered.whose)

    def _add_fields(self, config: type[ComponentConfig], options: Mapping[str, Any], prefix: str, panel: str) -> None:
        try:
            values = config.model_validate(options)
        except ValidationError:  # the assembly reports it with its origin; help shows the config's own defaults
            values = config()
        for name, field in config.model_fields.items():
            path, parameter = prefix + name, f"option_{len(self._paths)}"
            self.parameters.append(field_option(parameter, path, field, getattr(values, name), panel))
            spelled = word_type(field.annotation)
            flags = {f"--{path}": spelled is not bool}
            if spelled is bool:
                flags[f"--no-{path}"] = False
            for short in [s for s, p in SHORTHANDS.items() if p == path]:
                flags[short] = True
                self.parameters.append(_shorthand(short, path, field))
            for flag, takes_value in flags.items():
                self._takes_value[flag] = takes_value
                own = flag.removeprefix("--") if flag in SHORTHANDS else parameter
                self._paths[flag] = (own, path, spelled is None)

    def _completer(self, slot: str) -> Any:
        def complete(incomplete: str) -> list[tuple[str, str]]:
            shared = self._session.registry.components(slot)
            names = [r.component.name for r in shared]
            rows = [(r.component.name if names.count(r.component.name) == 1 else r.qualified, r.component.summary) for r in shared]
            return [row for row in rows if row[0].startswith(incomplete)]

        return complete

    def _refuse_unknown(self, recipe: Recipe) -> None:
        """Explain an option with a dot that no chosen component has; Typer would only say that it does not exist."""
        for name, _ in occurrences(self._session.words, self._takes_value):
            if name.startswith("--") and "." in name and name not in self._takes_value:
                raise self._unknown(name, recipe)

    def _unknown(self, name: str, recipe: Recipe) -> UsageError:
        path = name.removeprefix("--").removeprefix("no-")
        slot, *rest = path.split(".")
        known = [o for o in self._paths if o not in SHORTHANDS]
        if slot in TABLES:
            fields = ", ".join(_TABLES[slot].model_fields)
            return UsageError(f"no option {name}{did_you_mean(name, known)}", f"fields of the table {slot}: {fields}")
        if slot not in RECIPE_KINDS:
            return UsageError(
                f"no option {name}{did_you_mean(name, known)}", f"options with a dot begin with {', '.join([*RECIPE_KINDS, *TABLES])}"
            )
        chosen = [p.component for p in recipe.slots[slot]]
        if not RECIPE_KINDS[slot].several:
            return self._no_field(name, f"{slot}.", ".".join(rest))
        if len(rest) < 2:
            written = f"--{slot}.{chosen[0]}.{'.'.join(rest)}"
            return UsageError(f"no option {name}: options of {slot} carry the name of the component", f"write {written}")
        if rest[0] not in chosen:
            self._session.registry.find(slot, rest[0])
            remedy = " ".join(f"--{slot} {n}" for n in [*chosen, rest[0]])
            return UsageError(f"no option {name}: {slot} {rest[0]!r} is not chosen ({', '.join(chosen)})", f"add {remedy}")
        return self._no_field(name, f"{slot}.{rest[0]}.", ".".join(rest[1:]))

    def _no_field(self, name: str, prefix: str, field: str) -> UsageError:
        if name.startswith("--no-") and f"--{prefix}{field}" in self._paths:
            return UsageError(f"no option {name}: {prefix}{field} is not a switch", f"write --{prefix}{field} VALUE")
        registered = self._parts[prefix]
        fields = list(registered.load_config().model_fields)
        slot = registered.component.kind
        owners = [r.component.name for r in self._session.registry.components(slot) if field in _fields(r)]
        hint = f"fields of {registered.whose}: {', '.join(fields)}"
        if owners and not RECIPE_KINDS[slot].several:
            hint = f"{slot} with that field: {', '.join(owners)}; {hint}"
        return UsageError(f"no option {name}: {registered.whose} has no field {field!r}{did_you_mean(field, fields)}", hint)


def _fields(registered: Registered) -> list[str]:
    try:
        return list(registered.load_config().model_fields)
    except TwmError:  # only asked for a suggestion; whoever chooses this component hears of it
        return []


def _shorthand(flag: str, path: str, field: FieldInfo) -> inspect.Parameter:
    lowest, highest, _ = bounds(field)
    settings = {"help": f"The same as --{path}.", "min": lowest, "max": highest}
    return option(flag.removeprefix("--"), word_type(field.annotation), None, flag, **settings)


def _chooses(setting: str) -> bool:
    """Whether a `--set` value chooses components."""
    slot, _, word = setting.partition("=")[0].partition(".")
    return slot in RECIPE_KINDS and word == ("components" if RECIPE_KINDS[slot].several else "component")


def _set_layer(setting: str) -> Layer:
    path, value = parse_setting(setting)
    return option_layer(path, value, f"option --set {path}")


def _portable(value: Any) -> Any:
    """A value as a recipe file would hold it."""
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, Path) else value
