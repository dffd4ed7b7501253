"""The kinds of component. Adding one is one file here and its name in `KINDS`."""

from __future__ import annotations

from twm_core.kinds import baseline, dataset, decoder, dynamics, encoder, environment, loss, metric, optimizer, protocol, reader, renderer
from twm_core.kinds.base import Kind

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (dataset, encoder, dynamics, decoder, loss, optimizer, reader, renderer, environment, metric, baseline, protocol)
}

RECIPE_KINDS: dict[str, Kind] = {name: kind for name, kind in KINDS.items() if kind.in_recipe}
"""The kinds that a recipe chooses from: the slots of a world model and its dataset."""

TRAINING_KINDS = ("loss", "optimizer")
"""Those of them that only training builds: a checkpoint is evaluated without them."""

__all__ = ["KINDS", "RECIPE_KINDS", "TRAINING_KINDS", "Kind"]
