"""What a kind of component is: a name, the config base of its components, and the interface that `build` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twm_core.config import ComponentConfig


@dataclass(frozen=True)
class Kind:
    """One kind of component.

    Attributes:
        name: The word used everywhere: folder, hook record, TOML table, command-line flag, docs page, manifest field.
        summary: One sentence on what a component of this kind does.
        config: The config base that its components derive from.
        interface: `module:attribute` of the class that `build` returns (imports torch, so it is a string).
        several: Whether a recipe may use more than one at once.
        default: Component that a recipe uses where it names none; None where it must name one.
        given: What a component of this kind is given, in words, for `twm describe`.
        gives: What it gives.
    """

    name: str
    summary: str
    config: type[ComponentConfig]
    interface: str
    several: bool = False
    default: str | None = None
    specs: str = ""
    gives: str = ""
