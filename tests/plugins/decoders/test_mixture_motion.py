"""The mixture state against torch.distributions' mixtures, moments of its draws, and gradients."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.nn.distributions import HasModes
from twm_decoders.gaussian import GaussianMotion
from twm_decoders.mixture import MixtureMotion
from twm_decoders.noise import Walk

SEEDS = st.integers(0, 10**6)
M = 3


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixture(seed: int, *lead: int, heading: float = 0.0) -> MixtureMotion:
    lead = lead or (4, 2)
    return MixtureMotion(
        draw(*lead, M, 5, seed=seed),
        torch.full((*lead, M), heading, dtype=torch.float64),
        torch.full((5,), 2.0, dtype=torch.float64),
        (0.3 * draw(*lead, M, 5, seed=seed + 1)).exp() * 0.3,
        draw(*lead, M, seed=seed + 2),
    )


@given(SEEDS)
def test_the_density_is_that_of_a_mixture_of_gaussians(seed: int) -> None:
    ours = mixture(seed)
    theirs = td.MixtureSameFamily(td.Categorical(logits=ours.mode_logits), td.Independent(td.Normal(ours.modes, ours.std), 1))
    value = ours.mean + 0.2 * draw(4, 2, 5, seed=seed + 3)
    # torch's Gaussians do not wrap, so the heading is kept within half a turn of every mode.
    value[..., 2] = ours.modes[..., 2].mean(-1).clamp(-0.3, 0.3)
    near = (ours.modes[..., 2] - value[..., None, 2]).abs().amax(-1) < 2
    torch.testing.assert_close(ours.log_prob(value)[near], theirs.log_prob(value)[near], atol=1e-5, rtol=1e-5)


@given(SEEDS, st.floats(-3, 3))
def test_one_mode_by_itself_is_a_gaussian_state(seed: int, heading: float) -> None:
    ours = mixture(seed, heading=heading)
    value = draw(4, 2, 5, seed=seed + 3)
    for m in range(M):
        one = GaussianMotion(ours.modes[..., m, :], ours.heading[..., m], ours.scale, ours.std[..., m, :])
        torch.testing.assert_close(ours.mode_log_prob(value)[..., m], one.log_prob(value))


@given(SEEDS)
def test_the_mean_weighs_by_probability_and_the_mode_is_the_most_probable_course(seed: int) -> None:
    ours = mixture(seed)
    p = ours.mode_logits.softmax(-1)
    for b in range(4):
        for a in range(2):
            weights, states = p[b, a].tolist(), ours.modes[b, a].tolist()
            for i in (0, 1, 3, 4):
                assert float(ours.mean[b, a, i]) == pytest.approx(sum(w * s[i] for w, s in zip(weights, states, strict=True)))
            s = sum(w * math.sin(x[2]) for w, x in zip(weights, states, strict=True))
            c = sum(w * math.cos(x[2]) for w, x in zip(weights, states, strict=True))
            assert float(ours.mean[b, a, 2]) == pytest.approx(math.atan2(s, c))
            assert ours.mode[b, a].tolist() == states[weights.index(max(weights))]


def test_losses_recognise_a_mixture_by_its_modes() -> None:
    assert isinstance(mixture(0), HasModes)
    assert not isinstance(GaussianMotion(torch.zeros(5), torch.zeros(()), torch.ones(5), torch.ones(5)), HasModes)


def test_the_mean_heading_of_two_courses_beside_the_seam_is_at_the_seam() -> None:
    modes = torch.zeros(2, 5)
    modes[:, 2] = torch.tensor([math.pi - 0.1, -math.pi + 0.1])
    ours = MixtureMotion(modes, torch.zeros(2), torch.ones(5), torch.ones(2, 5), torch.zeros(2))
    assert abs(float(ours.mean[2])) == pytest.approx(math.pi, abs=1e-6)


def test_headings_that_cancel_have_a_mean_and_finite_gradients() -> None:
    modes = torch.zeros(2, 5)
    modes[:, 2] = torch.tensor([0.0, math.pi])
    modes.requires_grad_()
    logits = torch.zeros(2, requires_grad=True)
    ours = MixtureMotion(modes, torch.zeros(2), torch.ones(5), torch.ones(2, 5), logits)
    ours.mean.sum().backward()
    assert ours.mean.isfinite().all()
    assert modes.grad is not None
    assert modes.grad.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_draws_have_the_moments_of_the_mixture() -> None:
    n = 30_000
    one = mixture(4, 1)
    one.modes[..., 2] *= 0.1
    many = one.map(lambda x: x.expand(n, *x.shape[1:]))
    drawn = many.sample(torch.Generator().manual_seed(0))
    theirs = td.MixtureSameFamily(td.Categorical(logits=one.mode_logits[0]), td.Independent(td.Normal(one.modes[0], one.std[0]), 1))
    keep = [0, 1, 3, 4]
    torch.testing.assert_close(drawn.mean(0)[keep], theirs.mean[keep], atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.std(0)[keep], theirs.stddev[keep], atol=0.03, rtol=0.02)
    assert torch.equal(drawn, many.sample(torch.Generator().manual_seed(0)))


def test_a_drawn_future_stays_with_the_course_that_it_drew() -> None:
    n, steps = 3000, 5
    side = torch.tensor([-10.0, 0.0, 10.0], dtype=torch.float64)
    modes = torch.zeros(n, steps, 1, M, 5, dtype=torch.float64)
    modes[..., 1] = side
    step = torch.full((n, steps, 1, M, 5), 0.05, dtype=torch.float64)
    logits = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64).expand(n, steps, 1, M)
    ours = MixtureMotion(
        modes,
        torch.zeros(n, steps, 1, M, dtype=torch.float64),
        torch.ones(5, dtype=torch.float64),
        step,
        logits,
        memory=Walk(step, torch.full((n,), 0.1, dtype=torch.float64), coasting=True),
    )
    drawn = ours.sample(torch.Generator().manual_seed(1))[:, :, 0, 1]  # n, steps
    which = (drawn[..., None] - side).abs().argmin(-1)
    assert (which == which[:, :1]).all()
    shares = torch.stack([(which[:, 0] == m).double().mean() for m in range(M)])
    torch.testing.assert_close(shares, logits[0, 0, 0].softmax(-1), atol=0.03, rtol=0)
    assert torch.equal(ours.detach().sample(torch.Generator().manual_seed(1))[:, :, 0, 1], drawn)


@given(SEEDS)
def test_mapping_an_index_gives_the_distribution_of_these_entries(seed: int) -> None:
    ours, value = mixture(seed), draw(4, 2, 5, seed=seed + 3)
    part = ours.map(lambda x: x[1:3])
    torch.testing.assert_close(part.log_prob(value[1:3]), ours.log_prob(value)[1:3])
    torch.testing.assert_close(part.error(value[1:3]), ours.error(value)[1:3])


def test_training_by_likelihood_finds_two_courses_where_a_gaussian_would_lie_between() -> None:
    side = torch.cat([torch.full((150,), -2.0), torch.full((50,), 2.0)])
    value = torch.zeros(200, 5)
    value[:, 1] = side
    value = value + 0.05 * torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    modes = torch.tensor([[0.0, -1.5, 0, 0, 0], [0.0, 1.5, 0, 0, 0]], requires_grad=True)
    log_std, logits = torch.zeros(2, 5, requires_grad=True), torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([modes, log_std, logits], lr=0.05)
    for _ in range(150):
        ours = MixtureMotion(
            modes.expand(200, 2, 5), torch.zeros(200, 2), torch.ones(5), log_std.exp().expand(200, 2, 5), logits.expand(200, 2)
        )
        loss = -ours.log_prob(value).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert sorted(modes[:, 1].tolist()) == pytest.approx([-2, 2], abs=0.1)
    assert sorted(logits.softmax(-1).tolist()) == pytest.approx([0.25, 0.75], abs=0.03)
