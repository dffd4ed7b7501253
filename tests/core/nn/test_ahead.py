"""Whole futures in the world model: what is computed for them, and losses that come round only now and then."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from twm_core.errors import AssemblyError
from twm_core.nn.build import build_world_model
from twm_core.nn.world_model import WorldModel
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import Plan, assemble
from twm_core.recipe.layers import option_layer, resolve
from twm_core.testing.batches import synthetic

OPTIONS: dict[str, Any] = {
    "encoder.components": ["multiagent"],
    "encoder.multiagent.width": 16,
    "dynamics.component": "rssm-cat",
    "dynamics.deter": 16,
    "dynamics.hidden": 8,
    "decoder.components": ["agents", "modes"],
    "decoder.agents.width": 16,
    "decoder.modes.width": 16,
    "decoder.modes.modes": 3,
    "loss.components": ["huber", "rollout", "modes"],
    "dataset.component": "highway",
    "dataset.observed_seconds": 0.6,
    "dataset.predicted_seconds": 0.4,
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return discover()


def planned(registry: Registry, **more: Any) -> Plan:
    options = OPTIONS | {k.replace("__", "."): v for k, v in more.items()}
    if "modes" not in options["decoder.components"]:
        options = {k: v for k, v in options.items() if not k.startswith("decoder.modes")}
    return assemble(resolve([option_layer(k, v, "test") for k, v in options.items()]), registry)


def built(registry: Registry, **more: Any) -> tuple[WorldModel, dict[str, torch.Tensor]]:
    plan = planned(registry, **more)
    return build_world_model(plan, seed=0), dict(synthetic(plan.obs_spec).values)


def test_a_forecast_holds_both_answers(registry: Registry) -> None:
    model, batch = built(registry)
    found = model.eval().forecast(batch, samples=2, generator=torch.Generator().manual_seed(0))
    assert found["agents.state"].mean.shape[:3] == (3, 2, 2)
    assert found["agents.futures"].mean.shape[:3] == (3, 1, 2)
    # Beyond the horizon of the data only rollouts go on.
    longer = model.forecast(batch, steps=4, samples=1, generator=torch.Generator().manual_seed(0))
    assert longer["agents.state"].mean.shape[2] == 4
    assert longer["agents.futures"].mean.shape[2] == 2


def test_whole_futures_do_not_depend_on_what_comes_later(registry: Registry) -> None:
    model, batch = built(registry)
    model.eval()
    noisy = batch | {"agents.state": batch["agents.state"].clone()}
    noisy["agents.state"][:, model.obs_spec.context :] += 100
    one, other = (model.outputs(b, generator=torch.Generator().manual_seed(0)).ahead for b in (batch, noisy))
    assert one is not None
    assert other is not None
    exists = batch["agents.exists"][:, model.obs_spec.context - 1][:, None, None].expand(-1, 1, 2, -1)
    torch.testing.assert_close(one.decoded["agents.futures"].mean[exists], other.decoded["agents.futures"].mean[exists])


def test_a_loss_with_a_period_comes_round_at_every_nth_step(registry: Registry) -> None:
    model, batch = built(registry, loss__huber__period=3, loss__rollout__period=3)
    for step, wanted in ((0, True), (1, False), (2, False), (3, True), (None, True)):
        _, terms = model.loss(batch, generator=torch.Generator().manual_seed(0), step=step)
        assert any(k.startswith("huber") for k in terms) is wanted
        assert any(k.startswith("modes") for k in terms)


@pytest.mark.parametrize("heads", [0, 2])
def test_steps_of_the_head_alone_read_the_observed_steps_only_and_give_the_same(registry: Registry, heads: int) -> None:
    """With and without folding of agents; the brief step encodes the context alone."""
    model, batch = built(registry, loss__huber__period=2, loss__rollout__period=2, dynamics__heads=heads)
    lengths: list[int] = []
    handle = next(iter(model.encoders.values())).register_forward_pre_hook(lambda _, args: lengths.append(args[0]["is_first"].shape[1]))
    _, whole = model.loss(batch, generator=torch.Generator().manual_seed(0), step=0)
    _, brief = model.loss(batch, generator=torch.Generator().manual_seed(0), step=1)
    handle.remove()
    assert lengths == [5, 3]
    assert set(brief) == {k for k in whole if k.startswith("modes")}
    for name, value in brief.items():
        torch.testing.assert_close(value, whole[name])


def test_the_head_without_tokens_of_agents_is_refused_with_a_remedy(registry: Registry) -> None:
    with pytest.raises(AssemblyError, match="needs a token for each agent") as refused:
        planned(registry, encoder__multiagent__agent_tokens=False)
    assert "multiagent" in str(refused.value.hint)


def test_the_loss_without_the_head_is_refused_with_a_remedy(registry: Registry) -> None:
    with pytest.raises(AssemblyError, match=r"agents\.futures") as refused:
        planned(registry, decoder__components=["agents"])
    assert "--decoder modes" in str(refused.value.hint)
