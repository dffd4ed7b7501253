"""Symlog, squared-error estimates, two-hot regression, classes and continuation against NumPy in float64 and torch.distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.nn.distributions import MSE, Bernoulli, Classes, Continue, Distribution, SymlogMSE, TwoHot, symexp_bins, symlog_bins
from twm_core.nn.symlog import symexp, symlog


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


def np_symlog(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.log1p(np.abs(x))


def np_symexp(x: np.ndarray) -> np.ndarray:
    return np.sign(x) * np.expm1(np.abs(x))


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


SEEDS = st.integers(0, 10**6)


@given(st.floats(-1e6, 1e6, allow_subnormal=False))  # torch's vectorised log1p takes subnormal numbers for 0
def test_symexp_undoes_symlog(x: float) -> None:
    value = torch.tensor(x, dtype=torch.float64)
    torch.testing.assert_close(symexp(symlog(value)), value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(symlog(value).item(), np_symlog(np.array(x)), rtol=1e-12)


def test_symlog_is_the_identity_near_zero_with_slope_one() -> None:
    x = torch.zeros(3, requires_grad=True)
    symlog(x + torch.tensor([0.0, 1e-6, -1e-6])).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[1:], torch.ones(2))


@pytest.mark.parametrize(("event", "shape"), [(0, (4,)), (1, (4, 3)), (3, (2, 3, 4, 5))])
@given(SEEDS)
def test_squared_error_estimates_equal_numpy(event: int, shape: tuple[int, ...], seed: int) -> None:
    pred, value = randn(*shape, seed=seed), 30 * randn(*shape, seed=seed + 1)
    axes = tuple(range(len(shape) - event, len(shape)))
    p, v = pred.double().numpy(), value.double().numpy()
    for ours, target, mean in ((MSE(pred, event), v, p), (SymlogMSE(pred, event), np_symlog(v), np_symexp(p))):
        np.testing.assert_allclose(ours.log_prob(value).numpy(), -((p - target) ** 2).sum(axes), rtol=1e-5)
        np.testing.assert_allclose(ours.error(value).numpy(), target - p, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.mean.numpy(), mean, rtol=1e-5)
        assert torch.equal(ours.sample(seeded(0)), ours.mean)
        assert torch.equal(ours.mode, ours.mean)


def test_a_squared_error_is_a_gaussian_of_variance_one_half_up_to_a_constant() -> None:
    pred, value = randn(5, 3), randn(5, 3, seed=1)
    theirs = td.Independent(td.Normal(pred, 0.5**0.5), 1)
    difference = theirs.log_prob(value) - MSE(pred).log_prob(value)
    torch.testing.assert_close(difference, difference[:1].expand(5), rtol=1e-5, atol=1e-5)


def two_hot(bins: np.ndarray, target: float) -> np.ndarray:
    """Weights by definition, with a loop over the gaps between bins."""
    weights = np.zeros(len(bins))
    if target <= bins[0]:
        weights[0] = 1
    elif target >= bins[-1]:
        weights[-1] = 1
    else:
        for i in range(len(bins) - 1):
            if bins[i] <= target < bins[i + 1]:
                weights[i + 1] = (target - bins[i]) / (bins[i + 1] - bins[i])
                weights[i] = 1 - weights[i + 1]
    return weights


@given(SEEDS, st.booleans(), st.sampled_from([3, 11, 255]))
def test_two_hot_equals_a_plain_loop(seed: int, in_symlog: bool, n: int) -> None:
    bins = (symlog_bins if in_symlog else symexp_bins)(n)
    logits = 2 * randn(6, n, seed=seed)
    targets = torch.cat([10 ** (3 * randn(3, seed=seed + 1)), -randn(2, seed=seed + 2).abs(), torch.zeros(1)])
    ours, b = TwoHot(logits, bins, in_symlog=in_symlog), bins.double().numpy()
    p = softmax(logits.double().numpy())
    t = np_symlog(targets.double().numpy()) if in_symlog else targets.double().numpy()
    wanted = [float((two_hot(b, x) * np.log(q)).sum()) for x, q in zip(t, p, strict=True)]
    np.testing.assert_allclose(ours.log_prob(targets).numpy(), wanted, rtol=2e-5, atol=1e-5)
    expectation = (p * b).sum(-1)
    scale = (p * np.abs(b)).sum(-1)
    got = symlog(ours.mean.double()).numpy() if in_symlog else ours.mean.numpy()
    assert (np.abs(got - expectation) <= 1e-5 * scale).all()
    np.testing.assert_allclose(ours.error(targets).numpy(), (symlog(targets.double()) - symlog(ours.mean.double())).numpy(), atol=1e-4)


@pytest.mark.parametrize("in_symlog", [False, True])
def test_two_hot_puts_all_weight_on_one_bin_at_a_bin_and_beyond_the_ends(in_symlog: bool) -> None:
    bins = (symlog_bins if in_symlog else symexp_bins)(255)
    logits = randn(1, 255).log_softmax(-1)
    for target, index in ((bins[100], 100), (bins[0], 0), (bins[-1], 254), (bins[-1] * 2, 254), (bins[0] * 2, 0), (bins[127], 127)):
        real = symexp(target.double()).float() if in_symlog else target
        got = TwoHot(logits, bins, in_symlog=in_symlog).log_prob(real[None])
        torch.testing.assert_close(got, logits[:, index], rtol=1e-3, atol=1e-4)


def test_the_gradient_of_two_hot_is_probability_minus_weight() -> None:
    bins = symexp_bins(31)
    logits = randn(4, 31).requires_grad_()
    targets = torch.tensor([-3.0, 0.0, 0.4, 120.0])
    (-TwoHot(logits, bins).log_prob(targets)).sum().backward()
    weights = np.stack([two_hot(bins.double().numpy(), float(t)) for t in targets])
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), softmax(logits.detach().double().numpy()) - weights, atol=1e-6)


@pytest.mark.parametrize("bins", [symexp_bins(255), symlog_bins(255)])
def test_equal_logits_expect_exactly_nothing(bins: Tensor) -> None:
    assert torch.equal(bins, -bins.flip(0))
    assert TwoHot(torch.zeros(2, 255), bins).mean.tolist() == [0, 0]
    assert TwoHot(torch.zeros(2, 255), bins).detach().mode.shape == (2,)


def test_two_hot_draws_come_as_often_as_their_probability() -> None:
    n, logits, bins = 20_000, torch.tensor([0.0, 1.0, -1.0]), symexp_bins(3)
    draws = TwoHot(logits.expand(n, 3), bins).sample(seeded(0))
    counts = torch.stack([(draws == b).sum() for b in bins])
    expected = n * logits.softmax(-1)
    assert counts.sum() == n
    assert float(((counts - expected) ** 2 / expected).sum()) < 13.8  # 2 degrees of freedom, p = 0.001


@given(SEEDS, st.sampled_from([0.0, 0.01, 0.5]))
def test_classes_equal_torch_distributions(seed: int, unimix: float) -> None:
    logits = 2 * randn(3, 4, 5, seed=seed)
    ours = Classes(logits, unimix)
    theirs = td.Categorical(probs=(1 - unimix) * logits.softmax(-1) + unimix / 5)
    value = torch.randint(0, 5, (3, 4), generator=seeded(seed))
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    torch.testing.assert_close(ours.error(value), 1 - theirs.log_prob(value).exp())
    assert torch.equal(ours.mode, logits.argmax(-1))
    assert torch.equal(ours.mean, ours.mode)
    assert ours.sample(seeded(seed)).dtype == torch.int64


def test_classes_are_drawn_as_often_as_their_probability() -> None:
    n, logits = 20_000, torch.tensor([0.0, 1.0, -1.0, 2.0])
    draws = Classes(logits.expand(n, 4), 0.1).sample(seeded(0))
    expected = n * (0.9 * logits.softmax(-1) + 0.1 / 4)
    assert float(((draws.bincount(minlength=4) - expected) ** 2 / expected).sum()) < 16.3  # 3 degrees of freedom, p = 0.001


@given(SEEDS)
def test_continuation_is_the_cross_entropy_with_a_discounted_target(seed: int) -> None:
    logit = 3 * randn(6, seed=seed)
    ours, discount = Continue(logit, 1 - 1 / 333), 1 - 1 / 333
    p = 1 / (1 + np.exp(-logit.double().numpy()))
    for value in (0.0, 1.0):
        target = value * discount
        wanted = target * np.log(p) + (1 - target) * np.log1p(-p)
        np.testing.assert_allclose(ours.log_prob(torch.full((6,), value)).numpy(), wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours.error(torch.full((6,), value)).numpy(), target - p, atol=1e-6)
    torch.testing.assert_close(ours.mean, td.Bernoulli(logits=logit).mean)


def test_a_continuation_goes_on_where_that_is_likelier_before_the_discount() -> None:
    half = torch.tensor([0.45, 0.55]) * 0.5
    assert Continue(half.logit(), 0.5).mode.tolist() == [0, 1]
    draws = Continue(half.logit()[1:].expand(20_000), 0.5).sample(seeded(0))
    assert abs(float(draws.mean()) - 0.275) < 0.012


@pytest.mark.parametrize(
    "distribution",
    [MSE(randn(2, 3)), SymlogMSE(randn(2, 3)), TwoHot(randn(2, 3, 5), symexp_bins(5)), Classes(randn(2, 3, 5)), Continue(randn(2, 3), 0.9)],
    ids=lambda d: type(d).__name__,
)
def test_mapping_keeps_everything_else(distribution: Distribution) -> None:
    flipped = distribution.map(lambda x: x.flip(0))
    assert type(flipped) is type(distribution)
    torch.testing.assert_close(flipped.mean, distribution.mean.flip(0))
    value = distribution.mode
    torch.testing.assert_close(flipped.log_prob(value.flip(0)), distribution.log_prob(value).flip(0))


def test_the_error_of_a_flag_is_taken_against_its_probability() -> None:
    torch.testing.assert_close(Bernoulli(torch.zeros(2)).error(torch.tensor([True, False])), torch.tensor([0.5, -0.5]))
