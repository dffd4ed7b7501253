"""The batched program equals the plain reference in values and gradients, and keeps its promises about masks, resets and futures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from twm_core import Mismatch, UsageError
from twm_core.nn.interfaces import Embedding, Trace
from twm_core.nn.state import at_time, map_state
from twm_rssm.model import RSSM

Make = Callable[..., RSSM]
B, T, A, E = 2, 7, 4, 5


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ragged(seed: int = 1) -> Tensor:
    """Agents that are there, come, go, come back, and one that never comes."""
    exists = torch.rand(B, T, A, generator=seeded(seed)) > 0.35
    exists[0, :, 0] = True
    exists[0, :, 1] = torch.tensor([0, 0, 1, 1, 0, 0, 1]).bool()
    exists[1, :, 3] = False
    return exists


def resets() -> Tensor:
    first = torch.zeros(B, T, dtype=torch.bool)
    first[0, 0] = True
    first[1, 3] = True
    return first


def tokens(seed: int = 2, agents: int = A) -> Tensor:
    return torch.randn(B, T, agents, E, generator=seeded(seed))


def readings(trace: Trace) -> list[Tensor]:
    post, prior = trace
    return [post.deter, post.stats, post.stoch, prior.deter, prior.stats, prior.stoch]


def weigh(values: list[Tensor]) -> Tensor:
    """A scalar in which every entry has its own weight."""
    return sum(((x * torch.randn(x.shape, generator=seeded(i))).sum() for i, x in enumerate(values)), torch.zeros(()))


def assert_close(ours: Tensor, wanted: Tensor, limit: float = 2e-5) -> None:
    assert ours.shape == wanted.shape
    assert ours.shape == wanted.shape
    if not wanted.numel():
        return
    scale = max(float(wanted.detach().abs().max()), 1.0)
    assert float((ours.detach() - wanted.detach()).abs().max()) < limit * scale


def same_values_and_gradients(model: RSSM, run: Callable[[], list[Tensor]], reference: Callable[[], list[Tensor]]) -> None:
    grads = []
    values = []
    for function in (run, reference):
        model.zero_grad()
        values.append(function())
        weigh(values[-1]).backward()
        grads.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    for a, b in zip(*values, strict=True):
        assert_close(a, b)
    assert grads[0].keys() == grads[1].keys() == dict(model.named_parameters()).keys()
    for name in grads[0]:
        assert_close(grads[0][name], grads[1][name], 1e-4)


@pytest.mark.parametrize("options", [{}, {"heads": 0}, {"dynlayers": 2, "obslayers": 2, "imglayers": 1}])
@pytest.mark.parametrize("action", [None, "agents"])
def test_agents_equal_the_plain_reference_through_births_absences_and_resets(
    make: Make, plain: Any, options: Any, action: str | None
) -> None:
    model = make(agents=E, action=action, **options)
    x, exists, first = tokens(), ragged(), resets()
    actions = None if action is None else 2 * torch.randn(B, T, A, 2, generator=seeded(8))
    uniform = torch.rand((B, T, A, model.shape[0]), generator=seeded())
    same_values_and_gradients(
        model,
        lambda: readings(model.observe(Embedding(None, x), actions, first, exists, generator=seeded())),
        lambda: list(plain(model, x, actions, first, exists, uniform)),
    )


@pytest.mark.parametrize("action", [None, "scene"])
def test_a_scene_equals_the_plain_reference_with_resets(make: Make, plain: Any, action: str | None) -> None:
    model = make(scene=E, action=action)
    x, first = tokens(agents=1), resets()
    actions = None if action is None else 2 * torch.randn(B, T, 2, generator=seeded(8))
    uniform = torch.rand((B, T, model.shape[0]), generator=seeded()).unsqueeze(2)
    same_values_and_gradients(
        model,
        lambda: readings(model.observe(Embedding(x[:, :, 0], None), actions, first, None, generator=seeded())),
        lambda: [
            v[:, :, 0]
            for v in plain(
                model, x, None if actions is None else actions.unsqueeze(2), first, torch.ones(B, T, 1, dtype=torch.bool), uniform
            )
        ],
    )


def test_scene_actions_reach_every_agent(make: Make, plain: Any) -> None:
    model = make(agents=E, action="scene", heads=0)
    x, first, exists = tokens(), resets(), torch.ones(B, T, A, dtype=torch.bool)
    actions = torch.randn(B, T, 2, generator=seeded(8))
    uniform = torch.rand((B, T, A, model.shape[0]), generator=seeded())
    ours = readings(model.observe(Embedding(None, x), actions, first, exists, generator=seeded()))
    for a, b in zip(ours, plain(model, x, actions.unsqueeze(2).expand(-1, -1, A, -1), first, exists, uniform), strict=True):
        assert_close(a, b)


def test_a_scene_token_beside_agent_tokens_informs_every_posterior_and_no_prior_of_its_step(make: Make) -> None:
    model = make(agents=E, scene=3)
    scene = torch.randn(B, T, 3, generator=seeded(5))
    changed = scene.clone()
    changed[:, -1] += 1
    one, other = (model.observe(Embedding(s, tokens()), None, resets(), None, generator=seeded()) for s in (scene, changed))
    assert torch.equal(one.prior.stats, other.prior.stats)
    assert bool((one.posterior.stats[:, -1] != other.posterior.stats[:, -1]).any(-1).all())


@pytest.mark.parametrize("garbage", [7.0, float("nan"), float("inf")])
def test_what_stands_where_agents_are_absent_changes_no_value_and_no_gradient(make: Make, garbage: float) -> None:
    model = make(agents=E, action="agents")
    exists, first = ragged(), resets()
    results = []
    for fill in (0.0, garbage):
        x = torch.where(exists.unsqueeze(-1), tokens(), fill).requires_grad_()
        actions = torch.where(exists.unsqueeze(-1), torch.randn(B, T, A, 2, generator=seeded(8)), fill)
        model.zero_grad()
        values = readings(model.observe(Embedding(None, x), actions, first, exists, generator=seeded()))
        weigh(values).backward()
        assert x.grad is not None
        results.append([*values, x.grad, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_an_absent_agent_influences_no_other_agent_and_no_gradient(make: Make) -> None:
    """Agent 1 is never there: the others are as if its slot did not exist, and nothing flows back to its tokens."""
    model = make(agents=E)
    first = torch.zeros(B, T, dtype=torch.bool)
    never = torch.ones(B, T, A, dtype=torch.bool)
    never[:, :, 1] = False
    with_it = tokens()
    x = with_it.clone().requires_grad_()
    trace = model.observe(Embedding(None, x), None, first, never, generator=seeded())
    others = [0, 2, 3]
    alone = model.observe(
        Embedding(None, with_it[:, :, others]), None, first, None, generator=seeded(), forced=trace.posterior.stoch[:, :, others].detach()
    )
    assert_close(trace.posterior.stats[:, :, others], alone.posterior.stats)
    weigh([trace.posterior.deter[:, :, others], trace.prior.stoch[:, :, others]]).backward()
    assert x.grad is not None
    assert bool((x.grad[:, :, 1] == 0).all())
    assert bool((x.grad[:, :-1, others] != 0).any(-1).all())


def test_an_agent_that_left_is_not_heard_while_it_is_away(make: Make) -> None:
    """Others depend on its state only through steps that follow one at which it was observed."""
    model = make(agents=E)
    exists = torch.ones(B, T, A, dtype=torch.bool)
    exists[:, 3:, 1] = False
    first = torch.zeros(B, T, dtype=torch.bool)
    forced = model.observe(Embedding(None, tokens()), None, first, exists, generator=seeded()).posterior.stoch.detach()
    other = forced.clone()
    other[:, 3:, 1] = other[:, 3:, 1].roll(1, dims=-1)
    one, two = (model.observe(Embedding(None, tokens()), None, first, exists, generator=seeded(), forced=f) for f in (forced, other))
    keep = [0, 2, 3]
    assert torch.equal(one.posterior.deter[:, :, keep], two.posterior.deter[:, :, keep])
    assert not torch.equal(one.posterior.deter[:, :, 1], two.posterior.deter[:, :, 1])


def test_absent_agents_are_carried_by_their_prior_and_unseen_ones_stay_initial(make: Make) -> None:
    model = make(agents=E)
    exists = ragged()
    trace = model.observe(Embedding(None, tokens()), None, torch.zeros(B, T, dtype=torch.bool), exists, generator=seeded())
    seen = exists.cumsum(1) > 0
    gone = seen & ~exists
    assert bool(gone.any())
    for ours, prior in zip(trace.posterior[:3], trace.prior[:3], strict=True):
        assert torch.equal(ours[gone], prior[gone])
        assert bool((ours[~seen] == 0).all())
    assert torch.equal(trace.posterior.present, exists.float())


def test_the_prior_knows_nothing_of_its_step_not_even_who_is_there(make: Make) -> None:
    model = make(agents=E)
    exists = ragged()
    at = 4
    other = exists.clone()
    other[:, at:] = ~other[:, at:]
    x = tokens()
    y = x.clone()
    y[:, at:] = tokens(9)[:, at:]
    first = torch.zeros(B, T, dtype=torch.bool)
    one, two = (model.observe(Embedding(None, v), None, first, e, generator=seeded()) for v, e in ((x, exists), (y, other)))
    assert all(torch.equal(a[:, : at + 1], b[:, : at + 1]) for a, b in zip(one.prior, two.prior, strict=True))


def test_permuting_agents_permutes_their_states(make: Make) -> None:
    model = make(agents=E, action="agents")
    order = torch.tensor([2, 0, 3, 1])
    x, exists, actions = tokens(), ragged(), torch.randn(B, T, A, 2, generator=seeded(8))
    straight = model.observe(Embedding(None, x), actions, resets(), exists, generator=seeded())
    forced = straight.posterior.stoch.detach()
    permuted = model.observe(
        Embedding(None, x[:, :, order]), actions[:, :, order], resets(), exists[:, :, order], generator=seeded(), forced=forced[:, :, order]
    )
    assert_close(permuted.posterior.stats, straight.posterior.stats[:, :, order])
    assert_close(permuted.prior.stats, straight.prior.stats[:, :, order])


def test_a_scene_of_the_batch_gives_the_same_alone(make: Make) -> None:
    model = make(agents=E)
    whole = model.observe(Embedding(None, tokens()), None, resets(), ragged(), generator=seeded())
    alone = model.observe(Embedding(None, tokens()[:1]), None, resets()[:1], ragged()[:1], generator=seeded())
    for a, b in zip(readings(alone), readings(whole), strict=True):
        assert_close(a, b[:1])


def test_without_interaction_a_batch_of_32_agents_equals_each_agent_alone(make: Make) -> None:
    model = make(agents=E, heads=0)
    x = torch.randn(1, T, 32, E, generator=seeded(4))
    exists = torch.rand(1, T, 32, generator=seeded(5)) > 0.3
    first = torch.zeros(1, T, dtype=torch.bool)
    with torch.no_grad():
        whole = model.observe(Embedding(None, x), None, first, exists, generator=seeded())
        stoch = whole.posterior.stoch
        for a in range(32):
            i = slice(a, a + 1)
            alone = model.observe(Embedding(None, x[:, :, i]), None, first, exists[:, :, i], generator=seeded(), forced=stoch[:, :, i])
            assert_close(alone.posterior.deter, whole.posterior.deter[:, :, i])
            assert_close(alone.prior.stats, whole.prior.stats[:, :, i])


def test_chunks_that_carry_the_state_equal_the_whole_sequence(make: Make) -> None:
    model = make(agents=E)
    x, exists, first = tokens(), ragged(), resets()
    whole = model.observe(Embedding(None, x), None, first, exists, generator=seeded())
    forced = whole.posterior.stoch.detach()
    cut = 4
    head = model.observe(Embedding(None, x[:, :cut]), None, first[:, :cut], exists[:, :cut], generator=seeded(), forced=forced[:, :cut])
    tail = model.observe(
        Embedding(None, x[:, cut:]),
        None,
        first[:, cut:],
        exists[:, cut:],
        generator=seeded(),
        forced=forced[:, cut:],
        state=at_time(head.posterior, cut - 1),
    )
    for part in ("deter", "stats", "present", "has_started"):
        assert_close(getattr(tail.posterior, part), getattr(whole.posterior, part)[:, cut:])
        assert_close(getattr(tail.prior, part), getattr(whole.prior, part)[:, cut:])


def test_one_imagined_step_is_the_prior_of_the_next_step(make: Make) -> None:
    model = make(agents=E, action="agents")
    exists, actions = ragged(), torch.randn(B, T, A, 2, generator=seeded(8))
    first = torch.zeros(B, T, dtype=torch.bool)
    trace = model.observe(Embedding(None, tokens()), actions, first, exists, generator=seeded())
    for t in range(T - 1):
        one = model.imagine(at_time(trace.posterior, t), 1, actions[:, t : t + 1], exists=exists[:, t], generator=seeded())
        assert_close(one.deter[:, 0, 0], trace.prior.deter[:, t + 1])
        assert_close(one.stats[:, 0, 0], trace.prior.stats[:, t + 1])


@pytest.mark.parametrize("layout", ["scene", "agents"])
def test_imagination_with_and_without_gradient_is_the_same(make: Make, layout: str) -> None:
    """Without gradient the one-hot product is a sum of rows; with gradient it is the plain product."""
    model = make(**{layout: E})
    embedding = Embedding(tokens()[:, :, 0], None) if layout == "scene" else Embedding(None, tokens())
    trace = model.observe(embedding, None, resets(), ragged() if layout == "agents" else None, generator=seeded())
    start = map_state(Tensor.detach, at_time(trace.posterior, -1))
    with torch.no_grad():
        fast = model.imagine(start, 5, samples=3, generator=seeded())
    slow = model.imagine(start, 5, samples=3, generator=seeded())
    assert fast.deter.shape[:3] == (B, 3, 5)
    for a, b in zip(fast, slow, strict=True):
        assert_close(a, b)
    assert slow.deter.requires_grad
    assert not torch.equal(fast.stoch[:, 0], fast.stoch[:, 1])


def test_gradients_flow_through_imagined_samples(make: Make) -> None:
    model = make(agents=E)
    start = map_state(lambda x: torch.rand(x.shape, generator=seeded(6)), model.initial((B, A)))
    start.deter.requires_grad_()
    weigh([model.imagine(start, 4, samples=2, generator=seeded()).stoch[:, :, -1]]).backward()
    assert start.deter.grad is not None
    assert bool((start.deter.grad.abs().sum((1, 2)) > 0).all())
    reached = [name for name, p in model.named_parameters() if not name.startswith("posterior")]
    assert all(bool((dict(model.named_parameters())[name].grad != 0).any()) for name in reached)


def test_imagined_futures_of_those_taking_part_ignore_the_others(make: Make) -> None:
    model = make(agents=E)
    start = map_state(lambda x: torch.rand(x.shape, generator=seeded(6)), model.initial((B, A)))
    exists = torch.tensor([[True, True, False, True], [True, False, False, False]])
    changed = start._replace(deter=torch.where(exists.unsqueeze(-1), start.deter, 9.0))
    with torch.no_grad():
        one, two = (model.imagine(s, 4, exists=exists, samples=2, generator=seeded()) for s in (start, changed))
    mask = exists[:, None, None].expand(-1, 2, 4, -1)
    assert torch.equal(one.deter[mask], two.deter[mask])
    assert not torch.equal(one.deter[~mask], two.deter[~mask])


def test_a_policy_chooses_from_the_features_of_each_imagined_state(make: Make) -> None:
    model = make(scene=E, action="scene")
    start = map_state(lambda x: torch.rand(x.shape, generator=seeded(6)), model.initial((B,)))
    asked: list[Tensor] = []

    def policy(features: Any) -> Tensor:
        asked.append(features.scene)
        return features.scene[..., :2]

    with torch.no_grad():
        states = model.imagine(start, 3, policy, samples=2, generator=seeded())
        features = model.features(states).scene
        assert features is not None
        taken = torch.stack(asked, dim=1).unflatten(0, (B, 2))[..., :2]
        for s in range(2):  # replay each future with the actions that were chosen in it
            with_noise = model.imagine(start, 1, taken[:, s, :1], generator=seeded())
            assert_close(with_noise.deter[:, 0, 0], states.deter[:, s, 0])
    assert_close(torch.stack(asked[1:], dim=1).unflatten(0, (B, 2)), features[:, :, :-1])


def test_the_same_generator_gives_the_same_states_and_another_does_not(make: Make) -> None:
    model = make(agents=E)

    def run(seed: int) -> Tensor:
        return model.observe(Embedding(None, tokens()), None, resets(), ragged(), generator=seeded(seed)).posterior.stoch

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_a_single_agent_and_a_scene_without_agents_have_finite_values_and_gradients(make: Make) -> None:
    model = make(agents=E)
    first = resets()
    for exists in (torch.ones(B, T, 1, dtype=torch.bool), torch.zeros(B, T, A, dtype=torch.bool)):
        x = tokens(agents=exists.shape[-1]).requires_grad_()
        model.zero_grad()
        values = readings(model.observe(Embedding(None, x), None, first, exists, generator=seeded()))
        weigh(values).backward()
        assert all(bool(v.isfinite().all()) for v in values)
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())


def test_bfloat16_autocast_stays_close_and_keeps_the_state_in_float32(make: Make) -> None:
    model = make(agents=E, action="agents")
    actions = torch.randn(B, T, A, 2, generator=seeded(8))
    whole = model.observe(Embedding(None, tokens()), actions, resets(), ragged(), generator=seeded())
    forced = whole.posterior.stoch.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = model.observe(Embedding(None, tokens()), actions, resets(), ragged(), generator=seeded(), forced=forced)
        with torch.no_grad():
            future = model.imagine(at_time(half.posterior, -1), 3, actions[:, :3], generator=seeded())
    assert bool(future.deter.isfinite().all())
    assert half.posterior.deter.dtype == torch.float32
    assert_close(half.posterior.deter, whole.posterior.deter, 0.05)
    weigh([x.float() for x in readings(half)]).backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_actions_that_were_not_declared_and_declared_ones_that_are_missing_are_refused(make: Make) -> None:
    with pytest.raises(Mismatch, match="needs no actions, got actions of shape"):
        make(scene=E).observe(Embedding(tokens()[:, :, 0], None), torch.zeros(B, T, 2), resets(), None)
    model = make(scene=E, action="scene")
    with pytest.raises(Mismatch, match="needs actions of width 2, got none"):
        model.observe(Embedding(tokens()[:, :, 0], None), None, resets(), None)
    with pytest.raises(Mismatch, match="needs actions of width 2, got none"):
        model.imagine(model.initial((B,)), 3)
    with pytest.raises(UsageError, match="at least one step, got 0"):
        model.imagine(model.initial((B,)), 0, torch.zeros(B, 0, 2))
