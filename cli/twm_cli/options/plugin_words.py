"""What the words of a command say of plugins, read before any plugin is imported: the only reader of `plugins.block`, `allow`, `require`.

    train, check, config    the recipe of a run that is resumed, files of -c, then --plugins.FIELD and --set plugins.FIELD=... in order
    eval                    the recipe of the run to evaluate and that of --against, each with --set plugins.FIELD=...
    reproduce               the options of each model of the table

The last value of a field counts, as for every value of a recipe. Two recipes (of eval, of reproduce) hold both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twm_cli.options.words import arguments, occurrences, parse_setting, parse_value

if TYPE_CHECKING:
    from twm_core.plugin.rules import PluginLists
    from twm_core.recipe.layers import Layer

RECIPE_COMMANDS = ("train", "check", "config")
EVAL_TAKES_VALUE: Mapping[str, bool] = dict.fromkeys(
    (
        *("--dataset", "--data", "--protocol", "--baseline", "--metric", "--without", "--split", "--samples", "--windows", "--seed"),
        *("--futures", "--checkpoint", "--against", "--set", "--format", "--out", "--plot", "--plugin", "-p"),
    ),
    True,
)
"""The options of `twm eval` that take a value: what is left is the run to evaluate."""

_MANIFEST = "manifest.json"
_TABLE = "plugins"
_FIELDS = tuple(f"--{_TABLE}.{name}" for name in ("require", "block", "allow"))
_RECIPE_TAKES_VALUE = dict.fromkeys(("-c", "--config", "--run", "--set", "-p", "--plugin", *_FIELDS), True)


def lists_of(command: str, words: Sequence[str]) -> list[PluginLists]:
    """What the words of a command say of plugins, one entry for each recipe.

    Args:
        command: Name of the command.
        words: The words after it.

    Raises:
        UsageError: A recipe file cannot be read, or a value is impossible.
    """
    recipes = {**dict.fromkeys(RECIPE_COMMANDS, _of_recipe), "eval": _of_evaluation, "reproduce": _of_table}.get(command)
    if recipes is None or not words:
        return []
    from twm_core.recipe.pins import plugin_lists

    return [plugin_lists((layer.origin, layer.values) for layer in layers) for layers in recipes(words) if layers]


def _of_recipe(words: Sequence[str]) -> Iterable[list[Layer]]:
    from twm_core.recipe.layers import file_layer, option_layer

    given = [(name, value) for name, value in occurrences(words, _RECIPE_TAKES_VALUE) if value is not None]
    runs = [Path(value) / "recipe.toml" for name, value in given if name == "--run"]
    resumed = [runs[-1]] if "--resume" in words and runs and runs[-1].is_file() else []
    layers = [file_layer(file) for file in [*resumed, *(value for name, value in given if name in ("-c", "--config"))]]
    for name, value in given:
        if name == "--set":
            layers += _set(value)
        elif name in _FIELDS:
            layers.append(option_layer(name.removeprefix("--"), parse_value(value), f"option {name}"))
    yield layers


def _of_evaluation(words: Sequence[str]) -> Iterable[list[Layer]]:
    from twm_core.recipe.layers import file_layer

    given = [(name, value) for name, value in occurrences(words, EVAL_TAKES_VALUE) if value is not None]
    settings = [layer for name, value in given if name == "--set" for layer in _set(value)]
    targets = [*arguments(words, EVAL_TAKES_VALUE)[:1], *(value for name, value in given if name == "--against")]
    yield settings
    for recipe in dict.fromkeys(r for r in map(_recipe_of, targets) if r is not None):
        yield [file_layer(recipe), *settings]


def _of_table(words: Sequence[str]) -> Iterable[list[Layer]]:
    from twm_core.recipe.layers import option_layer
    from twm_core.reproduction.table import load_table

    takes_value = dict.fromkeys(("--data", "--out", "--part", "--seeds", "--row", "--split", "--jobs", "--plugin", "-p"), True)
    for table in arguments(words, takes_value)[:1]:
        name, found = load_table(table)
        for model in found.models.values():
            yield [option_layer(path, value, f"table {name}") for path, value in model.options.items() if _about_plugins(path)]


def _set(setting: str) -> list[Layer]:
    """The layer of `--set`, where it is about plugins."""
    from twm_core.recipe.layers import option_layer

    if not _about_plugins(setting.partition("=")[0]):
        return []
    return [option_layer(*parse_setting(setting), f"option --set {setting.partition('=')[0]}")]


def _about_plugins(path: str) -> bool:
    return path.partition(".")[0] == _TABLE


def _recipe_of(target: str) -> Path | None:
    """The recipe of the run that a word leads to: a run folder, a checkpoint in it, or a file in one; None where there is none."""
    path = Path(target)
    if path.is_file():
        if path.suffix == ".json" and path.name != _MANIFEST:
            return None  # a result that was saved
        path = path.parent
    run = path.absolute().parent.parent if path.absolute().parent.name == "checkpoints" else path
    return run / "recipe.toml" if (run / "recipe.toml").is_file() else None
