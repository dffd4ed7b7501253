"""The Gaussian state against torch.distributions, a numerical integral, and moments of its draws."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributions as td
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.angles import wrap_tensor
from twm_decoders.gaussian import GaussianMotion
from twm_decoders.kinematics import turn
from twm_decoders.motion import Motion
from twm_decoders.noise import Shared, Walk

SEEDS = st.integers(0, 10**6)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(seed: int, *, heading: float = 0.0) -> GaussianMotion:
    loc = draw(4, 3, 5, seed=seed)
    std = (0.3 * draw(4, 3, 5, seed=seed + 1)).exp() * 0.3
    return GaussianMotion(loc, torch.full((4, 3), heading, dtype=torch.float64), torch.full((5,), 2.0, dtype=torch.float64), std)


@given(SEEDS)
def test_with_its_frame_along_the_world_the_density_is_a_product_of_gaussians(seed: int) -> None:
    ours = gaussian(seed)
    value = ours.loc + 0.3 * draw(4, 3, 5, seed=seed + 2)
    theirs = td.Independent(td.Normal(ours.loc, ours.std), 1)
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value), atol=1e-6, rtol=1e-6)


@given(SEEDS, st.floats(-4, 4))
def test_in_a_turned_frame_place_and_velocity_are_correlated_gaussians(seed: int, heading: float) -> None:
    ours = gaussian(seed, heading=heading)
    value = ours.loc + 0.3 * draw(4, 3, 5, seed=seed + 2)
    r = torch.tensor([[math.cos(heading), -math.sin(heading)], [math.sin(heading), math.cos(heading)]], dtype=torch.float64)
    total = td.Normal(ours.loc[..., 2], ours.std[..., 2]).log_prob(value[..., 2])
    for pair in ([0, 1], [3, 4]):
        covariance = r @ torch.diag_embed(ours.std[..., pair].square()) @ r.T
        total = total + td.MultivariateNormal(ours.loc[..., pair], covariance).log_prob(value[..., pair])
    torch.testing.assert_close(ours.log_prob(value), total, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("std", [0.05, 0.7, 2.0])
def test_the_density_of_the_heading_integrates_to_one_over_a_turn(std: float) -> None:
    n = 4000
    angle = torch.arange(n, dtype=torch.float64) * 2 * math.pi / n - math.pi
    loc = torch.zeros(n, 5, dtype=torch.float64)
    loc[:, 2] = 3.0  # near the seam
    scale = torch.ones(5, dtype=torch.float64)
    ours = GaussianMotion(
        loc, torch.zeros(n, dtype=torch.float64), scale, torch.tensor([1, 1, std, 1, 1], dtype=torch.float64).expand(n, 5)
    )
    value = loc.clone()
    value[:, 2] = angle
    others = 4 * float(td.Normal(0.0, 1.0).log_prob(torch.tensor(0.0)))
    total = (ours.log_prob(value) - others).exp().sum() * 2 * math.pi / n
    assert float(total) == pytest.approx(1, abs=2e-3)


def test_a_heading_just_across_the_seam_is_close() -> None:
    loc, value = torch.tensor([0.0, 0, math.pi - 0.01, 0, 0]), torch.tensor([0.0, 0, -math.pi + 0.01, 0, 0])
    ours = GaussianMotion(loc, torch.tensor(0.0), torch.ones(5), torch.full((5,), 0.1))
    torch.testing.assert_close(ours.error(value)[2], torch.tensor(0.02))
    near = loc + torch.tensor([0, 0, -0.02, 0, 0])
    torch.testing.assert_close(ours.log_prob(value), ours.log_prob(near))
    draws = GaussianMotion(loc.expand(1000, 5), torch.zeros(1000), torch.ones(5), torch.full((1000, 5), 0.1)).sample(
        torch.Generator().manual_seed(0)
    )
    assert (draws[:, 2].abs() <= math.pi).all()
    assert (wrap_tensor(draws[:, 2] - math.pi).abs() < 0.6).all()


def test_errors_are_told_in_the_fixed_unit_whatever_spread_is_claimed() -> None:
    ours = gaussian(0, heading=0.4)
    value = ours.loc + 0.1
    fixed = Motion(ours.loc, ours.heading, ours.scale)
    torch.testing.assert_close(ours.error(value), fixed.error(value))
    assert ours.stochastic
    assert not fixed.stochastic


def test_draws_have_the_decoded_deviations_along_and_across_the_frame() -> None:
    n, heading = 20_000, 0.9
    loc, std = torch.tensor([5.0, -2.0, 0.1, 3.0, 4.0]), torch.tensor([2.0, 0.3, 0.05, 1.0, 0.2])
    ours = GaussianMotion(loc.expand(n, 5), torch.full((n,), heading), std, std.expand(n, 5))
    error = ours.error(ours.sample(torch.Generator().manual_seed(0)))
    assert (error.mean(0).abs() < 4 / math.sqrt(n)).all()
    torch.testing.assert_close(error.T.cov(), torch.eye(5), atol=0.04, rtol=0)


def test_a_draw_of_a_rollout_is_a_trajectory_and_not_a_cloud_of_points() -> None:
    n, steps, dt = 4000, 6, 0.5
    step = torch.tensor([1e-3, 1e-3, 1e-3, 1.0, 1.0]).expand(n, steps, 1, 5)
    memory, heading = Walk(step, torch.full((n,), dt), coasting=True), torch.zeros(n, steps, 1)
    ours = GaussianMotion(torch.zeros(n, steps, 1, 5), heading, torch.ones(5), memory.spread(heading), memory=memory)
    drawn = ours.sample(torch.Generator().manual_seed(2))
    # Places follow the drawn velocities: x[h] - x[h-1] = v[h-1] dt up to the tiny noise of places.
    assert (drawn[:, 1:, 0, 0] - drawn[:, :-1, 0, 0] - dt * drawn[:, :-1, 0, 3]).abs().max() < 0.01
    spread = drawn[..., 0].squeeze(-1).std(dim=0)
    torch.testing.assert_close(spread[1:], ours.std[0, 1:, 0, 0], rtol=0.05, atol=0)


def test_mapping_keeps_densities_and_detaching_keeps_trajectories() -> None:
    loc = draw(2, 4, 3, 5, seed=0).requires_grad_()
    std = draw(2, 4, 3, 5, seed=1).exp()
    heading = draw(2, 4, 3, seed=2)
    for memory in (Walk(std, torch.ones(2, dtype=torch.float64), coasting=True), Shared()):
        ours = GaussianMotion(loc, heading, torch.ones(5, dtype=torch.float64), std, memory=memory)
        value = draw(2, 4, 3, 5, seed=3)
        torch.testing.assert_close(ours.map(lambda x: x[:, 1:3]).log_prob(value[:, 1:3]), ours.log_prob(value)[:, 1:3])
        cut = ours.detach()
        one, two = (d.sample(torch.Generator().manual_seed(5)) for d in (cut, ours))
        assert torch.equal(one, two)
        assert not one.requires_grad
        assert two.requires_grad


@given(SEEDS, st.floats(-4, 4), st.floats(-20, 20))
def test_densities_do_not_depend_on_the_frame_of_the_world(seed: int, angle: float, shift: float) -> None:
    by = torch.tensor(angle, dtype=torch.float64)

    def moved(state: Tensor) -> Tensor:
        x, y, h, vx, vy = state.unbind(-1)
        x, y = turn(x, y, by)
        return torch.stack([x + shift, y - shift, wrap_tensor(h + by), *turn(vx, vy, by)], dim=-1)

    ours = gaussian(seed, heading=0.3)
    value = ours.loc + 0.3 * draw(4, 3, 5, seed=seed + 2)
    there = GaussianMotion(moved(ours.loc), ours.heading + by, ours.scale, ours.std)
    torch.testing.assert_close(there.log_prob(moved(value)), ours.log_prob(value))
