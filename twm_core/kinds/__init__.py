"""The kinds of component. Adding one is one file here and its name in `KINDS`."""

from __future__ import annotations

from twm_core.kinds import dataset, decoder, dynamics, encoder, environment, loss, reader
from twm_core.kinds.base import Kind

KINDS: dict[str, Kind] = {
    k.name: k for k in (dataset.KIND, encoder.KIND, dynamics.KIND, decoder.KIND, loss.KIND, reader.KIND, environment.KIND)
}

RECIPE_KINDS: dict[str, Kind] = {name: kind for name, kind in KINDS.items() if kind.in_recipe}
"""The kinds that a recipe chooses from: the slots of a world model and its dataset."""

__all__ = ["KINDS", "RECIPE_KINDS", "Kind"]
