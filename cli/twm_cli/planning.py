"""What `train`, `check` and `config` have in common: from the words to a plan, and its description."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from twm_cli.options.recipe import RecipeOptions
from twm_cli.options.session import Session
from twm_cli.output import show_json
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import Recipe


def with_options(function: Callable[..., None], own: Sequence[inspect.Parameter], options: RecipeOptions) -> Callable[..., None]:
    """Give a command function the signature from which Typer makes its options: its own, then those of the recipe."""
    signature = inspect.Signature([*own, *options.parameters])
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def plan(session: Session, options: RecipeOptions, given: Mapping[str, Any]) -> tuple[Recipe, Plan]:
    """The recipe that the words describe, assembled.

    Raises:
        TwmError: An option is bad, a component is not installed, or the parts do not fit.
    """
    session.warn(*session.warnings)
    recipe = options.recipe(given)
    return recipe, assemble(recipe, session.registry)


def show_plan(plan: Plan, *, as_json: bool) -> None:
    """Print the flow of specs and the notes, for people or as one JSON object."""
    if as_json:
        show_json(plan_object(plan))
        return
    typer.echo(plan.describe())
    for note in plan.notes:
        typer.echo(f"note: {note}")


def plan_object(plan: Plan) -> dict[str, Any]:
    """A plan as plain values: `recipe`, `parts` by kind, `specs` and `notes`."""
    return {
        "recipe": plan.resolved(),
        "parts": {
            kind: [
                {
                    "name": p.name,
                    "distribution": p.registered.plugin.distribution,
                    "version": p.registered.plugin.version,
                    "layout_version": p.registered.component.layout_version,
                }
                for p in parts
            ]
            for kind, parts in plan.parts.items()
        },
        "specs": {
            "observations": plan.obs_spec.model_dump(mode="json"),
            "action": None if plan.action is None else plan.action.model_dump(mode="json"),
            "embedding": plan.embedding.model_dump(mode="json"),
            "latent": plan.latent.model_dump(mode="json"),
            "output": plan.output.model_dump(mode="json"),
        },
        "notes": list(plan.notes),
    }
