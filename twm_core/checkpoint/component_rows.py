"""What a checkpoint records of each component of a plan. Torch-free."""

from __future__ import annotations

from typing import Any

from twm_core.recipe.assembly import Plan
from twm_core.recipe.chosen import Chosen


def component_row(part: Chosen) -> dict[str, Any]:
    """The row of one component in a manifest, without its tensors.

    `sha256` is that of the file of a one-file plugin, which has no version that changes with its contents.
    """
    component, plugin = part.registered.component, part.registered.plugin
    row: dict[str, Any] = {
        "kind": component.kind,
        "name": component.name,
        "chosen_as": part.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "entry_point": f"{plugin.name} = {plugin.value}",
        "layout_version": component.layout_version,
        "config": part.config.model_dump(mode="json"),
    }
    return row | ({"sha256": plugin.sha256} if plugin.sha256 else {})


def component_rows(plan: Plan) -> list[dict[str, Any]]:
    """The rows of all components of a plan, in its order."""
    return [component_row(part) for parts in plan.parts.values() for part in parts]
