"""Presets: whole recipes by name, each a TOML file in the folder `preset_files`, some of them in several sizes.

A preset file is a recipe file with one more table, `about`: its `summary`, and, where it has sizes, the `size` that is taken if none is
asked for. The tables of a size stand under `sizes.NAME` and are laid over the others. Torch-free.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from twm_core.errors import UsageError
from twm_core.suggest import did_you_mean

SIZE = "size"
_ABOUT, _SIZES = "about", "sizes"
_FILES = resources.files("twm_core.recipe") / "preset_files"


def preset_names() -> list[str]:
    """Every preset there is, in alphabetical order."""
    return sorted(f.name.removesuffix(".toml") for f in _FILES.iterdir() if f.name.endswith(".toml"))


def about_preset(name: str) -> tuple[str, list[str]]:
    """The summary of a preset and its sizes, smallest first; no sizes where it has one only."""
    values = _read(name)
    return str(values.get(_ABOUT, {}).get("summary", "")), list(values.get(_SIZES, {}))


def load_preset(name: Any, size: Any, origin: str) -> dict[str, Any]:
    """The nested values of a preset.

    Args:
        name: Its name.
        size: One of its sizes; None takes its default.
        origin: Who asks, for messages.

    Raises:
        UsageError: There is no such preset, or no such size of it.
    """
    names = preset_names()
    if name not in names:
        raise UsageError(f"{origin}: there is no preset {name!r}{did_you_mean(str(name), names)}", f"presets are {', '.join(names)}")
    values = _read(name)
    about, sizes = values.pop(_ABOUT, {}), values.pop(_SIZES, {})
    if size is None:
        size = about.get(SIZE)
    if size is None:
        return values
    if size not in sizes:
        have = f"its sizes are {', '.join(sizes)}" if sizes else "it has one size only, leave the size out"
        raise UsageError(f"{origin}: preset {name!r} has no size {size!r}", have)
    return _laid_over(values, sizes[size])


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_FILES / f"{name}.toml").read_text(encoding="utf-8"))


def _laid_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(lower)
    for key, value in upper.items():
        below = joined.get(key)
        joined[key] = _laid_over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return joined
