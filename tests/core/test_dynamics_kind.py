"""What dynamics configs share: the layout of the latents, and whether there are actions."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from twm_core import ActionSpec, EmbeddingSpec, Feature, Mismatch
from twm_core.errors import AssemblyError
from twm_core.kinds.dynamics import ActedDynamicsConfig, choose_layout
from twm_core.plugin.registry import Registry
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import Layer, default_layer, option_layer, resolve

DRIVERS = ActionSpec(layout="agents", features=(Feature(name="acceleration", unit="m/s^2"), Feature(name="turn")))


@pytest.mark.parametrize(
    ("choice", "embedding", "expected"),
    [
        ("auto", EmbeddingSpec(scene=3, agents=5), ("agents", 5)),
        ("auto", EmbeddingSpec(scene=3), ("scene", 3)),
        ("scene", EmbeddingSpec(scene=3, agents=5), ("scene", 3)),
        ("agents", EmbeddingSpec(agents=5), ("agents", 5)),
    ],
)
def test_the_layout_follows_the_tokens_where_it_may(choice: Any, embedding: EmbeddingSpec, expected: tuple[str, int]) -> None:
    assert choose_layout(choice, embedding, None) == expected


@pytest.mark.parametrize(
    ("actions", "action", "needs", "remedy"),
    [
        ("required", None, "actions (dynamics.actions is 'required')", "or set dynamics.actions to 'auto'"),
        ("none", DRIVERS, "no actions (dynamics.actions is 'none')", "set dynamics.actions to 'auto'"),
    ],
)
def test_missing_and_unexpected_actions_are_refused(
    actions: Literal["required", "none"], action: ActionSpec | None, needs: str, remedy: str
) -> None:
    with pytest.raises(Mismatch) as refused:
        ActedDynamicsConfig(actions=actions).check_actions(action)
    assert refused.value.needs == needs
    assert remedy in str(refused.value.remedy)
    for fits in ("auto", "none" if action is None else "required"):
        ActedDynamicsConfig.model_validate({"actions": fits}).check_actions(action)


@pytest.mark.parametrize("dynamics", ["gru", "lstm", "stochastic-gru", "transformer", "rssm-cat", "rssm-gauss"])
def test_a_check_refuses_them_and_its_remedies_work(registry: Registry, dynamics: str) -> None:
    base = [default_layer(), Layer("test", {"dynamics": {"component": dynamics}})]
    for wanted, there, cures in (
        ("required", False, {"dynamics.actions": "auto", "dataset.actions": True}),
        ("none", True, {"dynamics.actions": "auto", "dataset.actions": False}),
    ):
        layers = [*base, option_layer("dynamics.actions", wanted, "test"), option_layer("dataset.actions", there, "test")]
        with pytest.raises(AssemblyError, match=r"dynamics\.actions is"):
            assemble(resolve(layers), registry)
        for path, value in cures.items():
            assemble(resolve([*layers, option_layer(path, value, "test")]), registry)
