"""The kinds of component, one file for each. Adding one is one file here and its name in `RECIPE_KINDS` or `KINDS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from twm_core.kinds.base import Kind


class _Kinds(Mapping[str, Kind]):
    """Kinds by name. The module of a kind is imported when it is looked up: the names alone need no pydantic."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __getitem__(self, name: str) -> Kind:
        if name not in self._names:
            raise KeyError(name)
        kind: Kind = import_module(f"{__name__}.{name}").KIND
        return kind

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


RECIPE_KINDS: Mapping[str, Kind] = _Kinds("dataset", "encoder", "dynamics", "decoder", "loss", "optimizer")
"""The kinds that a recipe chooses from: the slots of a world model and its dataset."""

KINDS: Mapping[str, Kind] = _Kinds(*RECIPE_KINDS, "reader", "renderer", "simulator", "metric", "baseline", "protocol")
"""All kinds. Those that are in no recipe are used by commands of their own."""

TRAINING_KINDS = ("loss", "optimizer")
"""Those that only training builds: a checkpoint is evaluated without them."""

__all__ = ["KINDS", "RECIPE_KINDS", "TRAINING_KINDS", "Kind"]
