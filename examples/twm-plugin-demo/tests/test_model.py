"""`selective-ssm` as dynamics: one pass equals single steps, a gap equals imagination, chunks equal the whole, and what it refuses."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from twm_core import ActionSpec, DynamicsSpecs, EmbeddingSpec, Feature, Mismatch
from twm_core.nn.interfaces import Embedding, Trace
from twm_core.nn.state import at_time, map_state, stack_time

from twm_plugin_demo.config import SelectiveSSMConfig
from twm_plugin_demo.model import SelectiveSSM, build

B, T, A, D = 2, 9, 4, 5


def make(layout: Literal["scene", "agents"] = "agents", *, actions: bool = True, **options: Any) -> SelectiveSSM:
    """Small dynamics in evaluation, with one action for each agent (or for the scene)."""
    torch.manual_seed(0)
    config = SelectiveSSMConfig(**{"width": 8, "states": 3, "n_layers": 2, "layout": layout, **options})
    embedding = EmbeddingSpec(scene=D) if layout == "scene" else EmbeddingSpec(agents=D)
    action = ActionSpec(layout=layout, features=(Feature(name="a"), Feature(name="b"))) if actions else None
    return build(config, DynamicsSpecs(embedding=embedding, action=action, latent=config.latent(embedding, action))).eval()


def draw(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scene() -> tuple[Embedding, Tensor, Tensor, Tensor]:
    """Tokens, actions, resets and existence with gaps, births, an agent that never comes, and a reset in the middle of one row."""
    exists = torch.ones(B, T, A, dtype=torch.bool)
    exists[0, :2, 1] = exists[0, 4:6, 2] = exists[0, 7:, 3] = exists[1, :, 3] = exists[1, 3:6, 0] = False
    first = torch.zeros(B, T, dtype=torch.bool)
    first[0, 0] = first[1, 4] = True
    return Embedding(None, draw(B, T, A, D, seed=1)), draw(B, T, A, 2, seed=2), first, exists


def test_one_pass_is_what_single_steps_give() -> None:
    """Posterior and prior of a sequence, against `observe` called step by step with what the step before left."""
    model = make()
    tokens, actions, first, exists = scene()
    whole = model.observe(tokens, actions, first, exists)
    state, action, steps = None, None, []
    for t in range(T):
        now = slice(t, t + 1)
        assert tokens.agents is not None
        steps.append(
            model.observe(
                Embedding(None, tokens.agents[:, now]), actions[:, now], first[:, now], exists[:, now], state=state, first_action=action
            )
        )
        state, action = at_time(steps[-1].posterior, 0), actions[:, t]
    for part in ("posterior", "prior"):
        single = stack_time([at_time(getattr(step, part), 0) for step in steps])
        torch.testing.assert_close(single.z, getattr(whole, part).z, rtol=1e-4, atol=1e-5)
        counts = getattr(whole, part).begun[..., None, None, None]  # a state that has not begun may remember anything
        torch.testing.assert_close(single.hidden * counts, getattr(whole, part).hidden * counts, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["scene", "agents"])
def test_withheld_steps_are_imagined(layout: Literal["scene", "agents"]) -> None:
    """From the step on from which everything is withheld, posteriors are the future that `imagine` gives."""
    model, at = make(layout), 4
    lead = (B, T) if layout == "scene" else (B, T, A)
    seen, actions = draw(*lead, D, seed=1), draw(*lead, 2, seed=2)
    tokens = Embedding(seen, None) if layout == "scene" else Embedding(None, seen)
    withheld = torch.zeros(B, T, dtype=torch.bool)
    withheld[:, at:] = True
    exists = None if layout == "scene" else torch.ones(lead, dtype=torch.bool)
    posterior = model.observe(tokens, actions, torch.zeros(B, T, dtype=torch.bool), exists, withheld=withheld).posterior
    future = model.imagine(at_time(posterior, at - 1), T - at, actions[:, at - 1 :])
    torch.testing.assert_close(future.z[:, 0], posterior.z[:, at:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(future.recent[:, 0], posterior.recent[:, at:], rtol=1e-4, atol=1e-5)


def test_a_state_that_saw_nothing_is_the_initial_one() -> None:
    """Imagined from the posterior of an agent that has not come yet, the future is that of the initial state."""
    model = make(actions=False)
    tokens, _, first, exists = scene()
    posterior = at_time(model.observe(tokens, None, first, exists).posterior, T - 1)
    unseen = model.imagine(posterior, 3).z[1, 0, :, 3]
    torch.testing.assert_close(unseen, model.imagine(model.initial((1, 1)), 3).z[0, 0, :, 0])


def test_gradients_reach_back_through_the_memory() -> None:
    """The last prior depends on every token since the reset, on none before it, and on none of other agents."""
    model = make(actions=False)
    seen = draw(B, T, A, D, seed=1).requires_grad_()
    first = torch.zeros(B, T, dtype=torch.bool)
    first[1, 4] = True
    trace: Trace = model.observe(Embedding(None, seen), None, first, torch.ones(B, T, A, dtype=torch.bool))
    trace.prior.z[:, -1, 2].square().sum().backward()
    assert seen.grad is not None
    reached = (seen.grad != 0).any(dim=-1)
    wanted = torch.zeros(B, T, A, dtype=torch.bool)
    wanted[0, : T - 1, 2] = wanted[1, 4 : T - 1, 2] = True
    assert torch.equal(reached, wanted)


def test_mixed_precision_keeps_the_memory_in_float32() -> None:
    """Under bfloat16 autocast the result is near the usual one, and what is carried is float32."""
    model = make()
    tokens, actions, first, exists = scene()
    usual = model.observe(tokens, actions, first, exists).posterior
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.observe(tokens, actions, first, exists).posterior
    assert {x.dtype for x in mixed} == {torch.float32}
    torch.testing.assert_close(mixed.z, usual.z, rtol=0.05, atol=0.05)
    map_state(lambda x: torch.isfinite(x).all() or pytest.fail("not finite"), mixed)


def test_what_does_not_suit_is_refused() -> None:
    """Tokens that are missing, options that contradict each other, and embeddings other than those of the spec."""
    with pytest.raises(Mismatch, match="agent tokens for layout 'agents'"):
        SelectiveSSMConfig(layout="agents").latent(EmbeddingSpec(scene=D), None)
    with pytest.raises(ValidationError, match=r"step_min 0.5 is above step_max 0.3"):
        SelectiveSSMConfig(step_min=0.5)
    tokens, actions, first, exists = scene()
    with pytest.raises(Mismatch, match="agents tokens of width 5"):
        make().observe(Embedding(tokens.agents, None), actions, first, exists)
