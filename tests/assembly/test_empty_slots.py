"""Dynamics whose agents are independent are trained without empty slots, and losses and gradients are the same as with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from twm_core.nn.build import build_dataset, build_world_model
from twm_core.plugin.registry import discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import Layer, file_layer, resolve

TINY = Path(__file__).parents[1] / "tiny.toml"


@pytest.mark.parametrize("dynamics", ["gru", "lstm", "transformer"])
def test_deterministic_dynamics_learn_the_same_with_and_without_empty_slots(dynamics: str) -> None:
    chosen = {
        "dynamics": {"component": dynamics},
        "loss": {"components": ["huber", "existence", "rollout"]},
        "encoder": {"multiagent": {"dropout": 0.0}},
    }
    plan = assemble(resolve([file_layer(TINY), Layer("test", chosen)]), discover(environ={}))
    batch = build_dataset(plan).windows("train").batch(range(4))
    batch = {k: v.clone() for k, v in batch.items()}
    batch["agents.exists"][1:, :, -2:] = False  # slots that nobody fills
    found = []
    for independent in (True, False):
        model = build_world_model(plan, seed=0)
        assert model.dynamics.independent
        model.dynamics.independent = independent
        model.collect_statistics(batch)
        total, terms = model.train()(batch, torch.Generator().manual_seed(0), 0, None)
        total.backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append((torch.stack([terms[k].detach() for k in sorted(terms)]), gradient))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-5)
    assert bool((found[0][1] != 0).any())
