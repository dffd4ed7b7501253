"""Distributions against torch.distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.nn.distributions import Bernoulli, Categorical, Distribution, Normal


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


SHAPES = st.tuples(st.lists(st.integers(1, 3), max_size=3), st.integers(1, 4), st.integers(2, 5), st.integers(0, 10**6))


def reference(logits: Tensor, unimix: float) -> td.Independent:
    probs = (1 - unimix) * torch.softmax(logits, -1) + unimix / logits.shape[-1]
    return td.Independent(td.OneHotCategorical(probs=probs), 1)


@given(SHAPES, st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_categorical_equals_torch_distributions(shape: tuple[list[int], int, int, int], unimix: float) -> None:
    lead, groups, classes, seed = shape
    a, b = 2 * randn(*lead, groups, classes, seed=seed), 2 * randn(*lead, groups, classes, seed=seed + 1)
    ours, theirs = Categorical(a, unimix), reference(a, unimix)
    value = theirs.sample()
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    torch.testing.assert_close(ours.kl(Categorical(b, unimix)), td.kl_divergence(theirs, reference(b, unimix)), atol=1e-5, rtol=1e-4)
    assert ours.log_prob(value).shape == tuple(lead)


def test_the_uniform_share_bounds_every_probability_from_below() -> None:
    dist = Categorical(torch.tensor([[100.0, 0.0, -100.0, 0.0]]), unimix=0.04)
    torch.testing.assert_close(dist.mean, torch.tensor([[0.97, 0.01, 0.01, 0.01]]))
    torch.testing.assert_close(dist.mode, torch.tensor([[1.0, 0, 0, 0]]))


def test_a_draw_is_one_hot_and_comes_as_often_as_its_probability() -> None:
    n, logits = 20_000, torch.tensor([[0.0, 1.0, -1.0, 2.0], [3.0, 0.0, 0.0, -5.0]])
    draws = Categorical(logits.expand(n, 2, 4), 0.1).sample(seeded(0))
    assert draws.sum(-1).eq(1).all()
    assert draws.unique().tolist() == [0, 1]
    expected = n * Categorical(logits, 0.1).mean
    # Pearson's statistic of 3 degrees of freedom exceeds 16.3 with probability 0.001.
    assert (((draws.sum(0) - expected) ** 2 / expected).sum(-1) < 16.3).all()


def test_variables_are_drawn_independently() -> None:
    draws = Categorical(torch.zeros(20_000, 2, 2)).sample(seeded(1))
    both = (draws[:, 0, 0] * draws[:, 1, 0]).mean()
    assert abs(float(both) - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 20_000)


def test_an_impossible_class_is_never_drawn() -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf]]).expand(5_000, 1, 3)
    assert Categorical(logits).sample(seeded(2))[..., 1].eq(1).all()


@pytest.mark.parametrize("kind", ["sample", "mode"])
def test_the_gradient_of_a_draw_is_that_of_the_mixed_probabilities(kind: str) -> None:
    logits, u = randn(2, 3).requires_grad_(), 0.2
    dist = Categorical(logits, u)
    draw = dist.sample(seeded(0)) if kind == "sample" else dist.mode
    weight = randn(2, 3, seed=5)
    (draw * weight).sum().backward()
    # d/dl_k of sum_j w_j ((1-u) s_j + u/C) = (1-u) s_k (w_k - sum_j w_j s_j), with s the softmax.
    s = torch.softmax(logits.detach(), -1)
    expected = (1 - u) * s * (weight - (weight * s).sum(-1, keepdim=True))
    torch.testing.assert_close(logits.grad, expected)
    torch.testing.assert_close(draw.detach().sum(-1), torch.ones(2))


def test_draws_come_from_the_generator_only() -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    for dist in (Categorical(randn(4, 2, 3)), Normal(randn(4, 3), torch.ones(3)), Bernoulli(randn(9))):
        assert torch.equal(dist.sample(seeded(3)), dist.sample(seeded(3)))
        assert not torch.equal(dist.sample(seeded(3)), dist.sample(seeded(4)))
    assert torch.equal(before, torch.random.get_rng_state())


@given(st.lists(st.integers(1, 3), max_size=2), st.integers(1, 4), st.booleans(), st.integers(0, 10**6))
def test_normal_equals_torch_distributions(lead: list[int], width: int, shared: bool, seed: int) -> None:
    shape = [width] if shared else [*lead, width]
    loc, std = randn(*lead, width, seed=seed), randn(*shape, seed=seed + 1).exp()
    loc2, std2 = randn(*lead, width, seed=seed + 2), randn(*shape, seed=seed + 3).exp()
    ours, theirs = Normal(loc, std), td.Independent(td.Normal(loc, std.expand_as(loc)), 1)
    value = randn(*lead, width, seed=seed + 4)
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())
    other = td.Independent(td.Normal(loc2, std2.expand_as(loc2)), 1)
    torch.testing.assert_close(ours.kl(Normal(loc2, std2)), td.kl_divergence(theirs, other), rtol=1e-4, atol=1e-4)
    assert torch.equal(ours.mean, ours.mode)
    torch.testing.assert_close(ours.error(value), value - loc)


def test_normal_draws_have_its_moments_and_reparameterised_gradients() -> None:
    loc, std = torch.tensor([1.0, -2.0], requires_grad=True), torch.tensor([0.5, 3.0], requires_grad=True)
    n = 20_000
    draws = Normal(loc.expand(n, 2), std).sample(seeded(0))
    error = (draws.mean(0) - loc).abs() / std
    assert (error < 4 / math.sqrt(n)).all()
    assert ((draws.std(0) / std - 1).abs() < 4 / math.sqrt(2 * n)).all()
    draws.sum().backward()
    # x = loc + std e: d/dloc = 1, d/dstd = e = (x - loc) / std, summed over the draws.
    torch.testing.assert_close(loc.grad, torch.full((2,), float(n)))
    torch.testing.assert_close(std.grad, ((draws - loc) / std).detach().sum(0), rtol=1e-3, atol=1e-1)


def test_bernoulli_equals_torch_distributions() -> None:
    logit = 3 * randn(50)
    ours, theirs = Bernoulli(logit), td.Bernoulli(logits=logit)
    value = torch.arange(50) % 2 == 0
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value.float()))
    torch.testing.assert_close(ours.mean, theirs.mean)
    assert torch.equal(ours.mode, theirs.probs > 0.5)
    draws = Bernoulli(torch.tensor([-1.0, 0.0, 2.0]).expand(20_000, 3)).sample(seeded(0))
    p = torch.tensor([-1.0, 0.0, 2.0]).sigmoid()
    assert draws.dtype == torch.bool
    assert ((draws.float().mean(0) - p).abs() < 4 * (p * (1 - p) / 20_000).sqrt()).all()


def test_extreme_logits_stay_finite() -> None:
    logit = torch.tensor([1e4, -1e4], requires_grad=True)
    surprise = Bernoulli(logit).log_prob(torch.tensor([False, True]))
    assert surprise.tolist() == [-1e4, -1e4]
    surprise.sum().backward()
    assert logit.grad is not None
    assert logit.grad.isfinite().all()


CASES: dict[str, Distribution] = {
    "categorical": Categorical(randn(4, 2, 3), 0.1),
    "normal": Normal(randn(4, 3), torch.tensor([1.0, 2.0, 3.0])),
    "bernoulli": Bernoulli(randn(4)),
}


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("function", [lambda x: x[1:3], lambda x: x.unflatten(0, (2, 2))], ids=["index", "reshape"])
def test_mapping_a_distribution_maps_its_log_probabilities(name: str, function: Callable[[Tensor], Tensor]) -> None:
    dist = CASES[name]
    value = dist.sample(seeded(0))
    torch.testing.assert_close(dist.map(function).log_prob(function(value)), function(dist.log_prob(value)))
    assert type(dist.map(function)) is type(dist)


def test_a_detached_distribution_has_no_gradient() -> None:
    logits = randn(2, 3).requires_grad_()
    assert not Categorical(logits, 0.1).detach().entropy().requires_grad
    assert Categorical(logits, 0.1).entropy().requires_grad
    assert not Normal(logits, logits.exp()).detach().entropy().requires_grad


def test_what_has_no_closed_form_says_so() -> None:
    dist = Bernoulli(torch.zeros(2))
    with pytest.raises(NotImplementedError, match="Bernoulli has no closed-form entropy"):
        dist.entropy()
    with pytest.raises(NotImplementedError, match="Bernoulli has no closed-form KL"):
        dist.kl(dist)
