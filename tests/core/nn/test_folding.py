"""Agents as rows of their own: the same losses, fewer empty slots."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from twm_core.nn.build import build_world_model
from twm_core.nn.folding import agent_rows, can_fold, fold_agents, fold_tokens, fold_withheld
from twm_core.nn.interfaces import Embedding
from twm_core.plugin.registry import Registry, discover
from twm_core.recipe.assembly import assemble
from twm_core.recipe.layers import option_layer, resolve
from twm_core.testing.batches import observation_specs, synthetic


@pytest.fixture(scope="module")
def registry() -> Registry:
    return discover()


def test_every_agent_that_was_ever_there_is_a_row() -> None:
    seen = observation_specs()["traffic with motion only"]
    batch = dict(synthetic(seen).values)
    rows = agent_rows(batch)
    folded = fold_agents(batch, rows, seen, None)
    there = batch["agents.exists"].any(dim=1)
    assert folded["agents.exists"].shape == (int(there.sum()), batch["agents.exists"].shape[1], 1)
    for r, (b, a) in enumerate(there.nonzero().tolist()):
        assert torch.equal(folded["agents.state"][r, :, 0].nan_to_num(), batch["agents.state"][b, :, a].nan_to_num())
        assert torch.equal(folded["dt"][r], batch["dt"][b])
        assert torch.equal(folded["is_first"][r], batch["is_first"][b])
        assert torch.equal(folded["agents.type"][r, 0], batch["agents.type"][b, a])
    tokens = fold_tokens(Embedding(torch.randn(3, 2, 4), None), rows)
    assert tokens.scene is not None
    assert tokens.scene.shape[0] == len(rows.window)
    withheld = torch.rand(batch["agents.exists"].shape) > 0.5
    both = fold_withheld(withheld, rows)
    assert both is not None
    assert torch.equal(both[0, :, 0], withheld[rows.window[0], :, rows.slot[0]])


def test_images_and_maps_are_not_repeated_for_every_agent() -> None:
    specs = observation_specs()
    assert can_fold(specs["traffic with every feature"])
    assert not can_fold(specs["sensors and rewards"])


@pytest.mark.parametrize("dynamics", ["rssm-cat", "rssm-gauss"])
@pytest.mark.parametrize("pattern", ["ragged", "one", "none"])
def test_losses_and_gradients_are_those_of_the_whole_batch(registry: Registry, dynamics: str, pattern: Any) -> None:
    """With samples that do not depend on the noise (deterministic priors), folding is exact up to rounding."""
    options: dict[str, Any] = {
        "encoder.components": ["multiagent"],
        "dynamics.component": dynamics,
        "dynamics.deter": 16,
        "dynamics.hidden": 8,
        "dynamics.heads": 0,
        "encoder.multiagent.width": 16,
        "encoder.multiagent.pooling": "none",
        "decoder.components": ["agents", "modes"],
        "decoder.agents.width": 16,
        "decoder.modes.width": 16,
        "decoder.modes.modes": 3,
        "loss.components": ["huber", "existence", "kl", "rollout", "modes"],
        "dataset.component": "highway",
        "dataset.observed_seconds": 0.6,
        "dataset.predicted_seconds": 0.4,
    }
    plan = assemble(resolve([option_layer(k, v, "test") for k, v in options.items()]), registry)
    model = build_world_model(plan, seed=0)
    assert model.dynamics.independent
    batch = dict(synthetic(plan.obs_spec, pattern=pattern).values)
    found = []
    _WIDTH[0] = model.dynamics.family.noise((1,), generator=None, device=torch.device("cpu")).shape[-1]
    for independent in (True, False):
        model.dynamics.independent = independent
        # Noise of one half is the same for every row, however many there are.
        model.dynamics.family.noise = _even  # type: ignore[union-attr, method-assign, assignment]  # the test's own dynamics
        model.zero_grad()
        total, terms = model.loss(batch, generator=torch.Generator().manual_seed(0), step=5)
        if total.requires_grad:
            total.backward()
        grads = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
        found.append((total.detach(), {k: v.detach() for k, v in terms.items()}, grads))
    (one, terms, grads), (other, others, theirs) = found
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert terms.keys() == others.keys()
    for name in terms:
        torch.testing.assert_close(terms[name], others[name], rtol=1e-4, atol=1e-5)
    for name, grad in grads.items():
        their = theirs[name]
        if grad is not None and their is not None:
            torch.testing.assert_close(grad, their, rtol=1e-3, atol=1e-5)


def _even(lead: tuple[int, ...], *, generator: torch.Generator | None, device: torch.device) -> torch.Tensor:
    return torch.full((*lead, _WIDTH[0]), 0.3, device=device)


_WIDTH = [8]
