"""A recipe: the chosen components and their options, resolved from layers, with the origin of every value.

Layers are nested mappings, lowest first: defaults < preset < files < options in order. In a layer, a slot of one component is

    [dynamics]                      [training]
    component = "rssm-cat"          steps = 500
    hidden = 256

and a slot of several names them in `components` and has one table for each:

    [loss]
    components = ["huber", "kl"]
    [loss.kl]
    free_nats = 1.0

Three more tables belong to no component: `training`; `fusion`, which tells how several encoders are joined; and `plugins`, which pins
and blocks plugins (see `plugin_rules.py`). A layer may also name a
preset, `preset = "dreamer-v3"` and `size = "12m"`: a whole recipe that stands in place of the defaults (see `presets.py`).

The dotted path of a value (`dynamics.hidden`, `loss.kl.free_nats`) is the same in files, in `--set` and as a command-line flag.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

from twm_core.errors import UsageError
from twm_core.kinds import RECIPE_KINDS
from twm_core.plugin.rules import PLUGINS
from twm_core.recipe.presets import SIZE, load_preset

TRAINING = "training"
FUSION = "fusion"
TABLES = (FUSION, TRAINING, PLUGINS)
"""Tables that belong to no component."""

DEFAULT = "default"
PRESET = "preset"


@dataclass(frozen=True)
class Layer:
    """One source of values.

    Attributes:
        origin: Its name for messages: `default`, a file name, `option --dynamics.hidden`.
        values: Its nested values.
        distributions: Distributions of components that it chose by their bare names, by (slot, name): a checkpoint knows them.
    """

    origin: str
    values: Mapping[str, Any]
    distributions: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A chosen component by name (possibly `distribution:name`) and the options set for it."""

    component: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Chosen components of every slot, the other tables' options, and where each value came from (dotted path to origin).

    `distributions` names the distributions that are meant by bare names, by (slot, name), where a layer knew them.
    """

    slots: dict[str, tuple[Part, ...]]
    tables: dict[str, dict[str, Any]]
    origins: dict[str, str]
    notes: tuple[str, ...] = ()
    distributions: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def origin(self, path: str) -> str:
        """Where the value at `path` came from."""
        return self.origins.get(path, DEFAULT)


def default_layer() -> Layer:
    """What `twm train` uses where nobody says otherwise."""
    return Layer(DEFAULT, load_preset(DEFAULT, None, DEFAULT))


def yields(origin: str) -> bool:
    """Whether a value of this origin gives way silently where it does not fit: defaults and presets do, what a user wrote does not."""
    return origin == DEFAULT or origin.startswith(f"{PRESET} ")


def with_preset(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with the preset that the last of them names in place of the defaults.

    Raises:
        UsageError: There is no such preset or size, or a size without a preset.
    """
    named = {key: (layer.values[key], layer.origin) for layer in layers for key in (PRESET, SIZE) if key in layer.values}
    if not named:
        return list(layers)
    if PRESET not in named:
        raise UsageError(f"{named[SIZE][1]}: size {named[SIZE][0]!r} without a preset", "add preset = or --preset")
    (name, origin), (size, _) = named[PRESET], named.get(SIZE, (None, ""))
    title = f"{PRESET} {name}" + (f" {size}" if size is not None else "")
    rest = [replace(x, values={k: v for k, v in x.values.items() if k not in (PRESET, SIZE)}) for x in layers if x.origin != DEFAULT]
    return [Layer(title, load_preset(name, size, origin)), *rest]


def file_layer(path: str | Path) -> Layer:
    """A recipe file (TOML) as a layer.

    Raises:
        UsageError: The file is not there or is not TOML.
    """
    try:
        with open(path, "rb") as stream:
            return Layer(str(path), tomllib.load(stream))
    except OSError as error:
        raise UsageError(f"cannot read recipe file {path}: {error.strerror}", "check the path given with -c") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe file {path} is not TOML: {error}", "see the recipe format in the docs") from error


def option_layer(path: str, value: Any, origin: str) -> Layer:
    """A single value at a dotted path as a layer."""
    nested: Any = value
    for word in reversed(path.split(".")):
        nested = {word: nested}
    return Layer(origin, nested)


def resolve(layers: Sequence[Layer], *, without: Collection[str] = ()) -> Recipe:
    """Merge layers, lowest first.

    Args:
        layers: Sources of values.
        without: Slots that stay empty.

    Choosing another component for a slot, or a list without one of those chosen before, drops the options that lower layers set for the
    former one (a note says which, unless they were defaults). An option for a component that is not chosen is an error unless it is a
    default.

    Raises:
        UsageError: An unknown table, a value of the wrong shape, a slot left empty, or options for a component that is not chosen.
    """
    chosen: dict[str, list[str]] = {}
    options: dict[tuple[str, str], dict[str, tuple[Any, str]]] = {}
    tables: dict[str, dict[str, tuple[Any, str]]] = {name: {} for name in TABLES}
    origins: dict[str, str] = {}
    notes: list[str] = []
    distributions: dict[tuple[str, str], str] = {}
    for layer in with_preset(layers):
        for slot, table in layer.values.items():
            if isinstance(table, Mapping) and ("component" in table or "components" in table):  # whoever chooses anew means what they say
                distributions = {key: owner for key, owner in distributions.items() if key[0] != slot}
                distributions |= {key: owner for key, owner in layer.distributions.items() if key[0] == slot}
            if slot not in TABLES and slot not in RECIPE_KINDS:
                raise UsageError(f"{layer.origin}: unknown table {slot!r}", f"tables are {', '.join([*RECIPE_KINDS, *TABLES])}")
            if not isinstance(table, Mapping):
                raise UsageError(f"{layer.origin}: {slot} must be a table, got {table!r}", "see the recipe format in the docs")
            if slot in TABLES:
                tables[slot].update({k: (v, layer.origin) for k, v in table.items()})
            elif RECIPE_KINDS[slot].several:
                _merge_several(layer.origin, slot, table, chosen, options, origins, notes)
            else:
                _merge_one(layer.origin, slot, table, chosen, options, origins, notes)
    slots: dict[str, tuple[Part, ...]] = {}
    for slot, kind in RECIPE_KINDS.items():
        if slot in without:
            slots[slot] = ()
            continue
        names = chosen.get(slot, []) or [n for n in (kind.default,) if n is not None]
        if not names:
            raise UsageError(f"the recipe names no {slot}", f"choose one with --{slot}")
        slots[slot] = tuple(Part(n, {k: v for k, (v, _) in options.get((slot, n), {}).items()}) for n in names)
        for name in names:
            prefix = f"{slot}.{name}." if kind.several else f"{slot}."
            origins.update({prefix + k: o for k, (_, o) in options.get((slot, name), {}).items()})
    for (slot, name), values in options.items():
        for key, (_, origin) in values.items():
            names = [part.component for part in slots[slot]]
            if name not in names and not yields(origin):
                raise UsageError(
                    f"{origin} sets {slot}.{name}.{key}, but {name!r} is not a chosen {slot} ({', '.join(names)})",
                    f"add --{slot} {name}, or remove the option",
                )
    origins.update({f"{name}.{k}": o for name, table in tables.items() for k, (_, o) in table.items()})
    return Recipe(slots, {n: {k: v for k, (v, _) in table.items()} for n, table in tables.items()}, origins, tuple(notes), distributions)


def _merge_several(
    origin: str,
    slot: str,
    table: Mapping[str, Any],
    chosen: dict[str, list[str]],
    options: dict[tuple[str, str], dict[str, tuple[Any, str]]],
    origins: dict[str, str],
    notes: list[str],
) -> None:
    # The choice first, wherever it stands in its table: it drops options of lower layers, not those beside it.
    for key, value in sorted(table.items(), key=lambda item: item[0] != "components"):
        if key == "components":
            if not (isinstance(value, list) and value and all(isinstance(v, str) for v in value)):
                raise UsageError(
                    f"{origin}: {slot}.components must be a list of names, got {value!r}", f'write components = ["{slot}-name"]'
                )
            if len(set(value)) != len(value):
                raise UsageError(f"{origin}: {slot}.components names a component twice: {value!r}", "name each once")
            for former in (n for n in chosen.get(slot, []) if n not in value):
                lost = _drop(options, slot, former)
                if lost:
                    notes.append(f"{origin} chose {slot} {', '.join(value)} without {former!r}; dropped its options {', '.join(lost)}")
            chosen[slot] = list(value)
            origins[f"{slot}.components"] = origin
        elif isinstance(value, Mapping):
            options.setdefault((slot, key), {}).update({k: (v, origin) for k, v in value.items()})
            chosen.setdefault(slot, [])
        else:
            raise UsageError(
                f"{origin}: {slot}.{key} = {value!r}: options of a {slot} carry its name, because a recipe may have several",
                f"write {slot}.NAME.{key}",
            )


def _merge_one(
    origin: str,
    slot: str,
    table: Mapping[str, Any],
    chosen: dict[str, list[str]],
    options: dict[tuple[str, str], dict[str, tuple[Any, str]]],
    origins: dict[str, str],
    notes: list[str],
) -> None:
    if "component" in table:
        name = table["component"]
        if not isinstance(name, str):
            raise UsageError(f"{origin}: {slot}.component must be a name, got {name!r}", f'write component = "{slot}-name"')
        before = chosen.get(slot, []) or [n for n in (RECIPE_KINDS[slot].default,) if n is not None]
        if before and before != [name]:
            lost = _drop(options, slot, before[0])
            if lost:
                notes.append(f"{origin} chose {slot} {name!r} instead of {before[0]!r}; dropped its options {', '.join(lost)}")
        chosen[slot] = [name]
        origins[f"{slot}.component"] = origin
    rest = {k: (v, origin) for k, v in table.items() if k != "component"}
    default = RECIPE_KINDS[slot].default
    if default is not None:
        chosen.setdefault(slot, [default])
    if rest and not chosen.get(slot):
        raise UsageError(f"{origin}: options for {slot} before one is chosen", f"add component = to the table {slot}")
    if rest:
        options.setdefault((slot, chosen[slot][0]), {}).update(rest)


def _drop(options: dict[tuple[str, str], dict[str, tuple[Any, str]]], slot: str, name: str) -> list[str]:
    """Forget the options of a component that is no longer chosen; those that are worth a note, in words."""
    return [f"{k} ({o})" for k, (_, o) in options.pop((slot, name), {}).items() if not yields(o)]


def to_layer(slots: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]], own_tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Nested values of a resolved recipe, ready to be written as TOML or used as a layer. None values are left out."""
    tables: dict[str, Any] = {}
    for slot, parts in slots.items():
        clean = [(n, {k: v for k, v in o.items() if v is not None}) for n, o in parts]
        if not clean:
            continue
        if RECIPE_KINDS[slot].several:
            tables[slot] = {"components": [n for n, _ in clean], **dict(clean)}
        else:
            tables[slot] = {"component": clean[0][0], **clean[0][1]}
    tables |= {name: {k: v for k, v in table.items() if v is not None} for name, table in own_tables.items()}
    return tables


def to_toml(layer: Mapping[str, Any]) -> str:
    """A recipe's nested values as TOML text."""
    return tomli_w.dumps(layer)
