"""Joint noise of a rollout against explicit covariances: a loop over steps, and moments of draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from twm_decoders.noise import Shared, Walk

SEEDS = st.integers(0, 10**6)
Array = NDArray[np.float64]


def rotation(heading: float) -> Array:
    """Turns place and velocity, leaves the heading: 5 x 5."""
    c, s = np.cos(heading), np.sin(heading)
    block = np.array([[c, -s], [s, c]])
    whole = np.eye(5)
    whole[:2, :2] = block
    whole[3:, 3:] = block
    return whole


def covariances(step: Array, heading: Array, dt: float, *, coasting: bool) -> list[Array]:
    """World-frame covariance `5 x 5` of the deviation after every step, by P' = F P F^T + R Q R^T."""
    carry = np.eye(5)
    if coasting:
        carry[0, 3] = carry[1, 4] = dt
    p: Array = np.zeros((5, 5))
    found: list[Array] = []
    for deviation, h in zip(step, heading, strict=True):
        r = rotation(h)
        p = carry @ p @ carry.T + r @ np.diag(deviation**2) @ r.T
        found.append(p)
    return found


def walk(seed: int, steps: int, *, coasting: bool, dtype: torch.dtype = torch.float64) -> tuple[Walk, Tensor]:
    g = torch.Generator().manual_seed(seed)
    step = (torch.randn(2, steps, 3, 5, generator=g, dtype=torch.float64)).exp().to(dtype)
    heading = (torch.randn(2, steps, 3, generator=g, dtype=torch.float64) * 0.4).cumsum(dim=1).to(dtype)
    return Walk(step, torch.tensor([0.1, 0.5], dtype=dtype), coasting=coasting), heading


@given(SEEDS, st.integers(1, 6), st.booleans())
def test_the_spread_of_a_walk_is_that_of_propagated_covariances(seed: int, steps: int, coasting: bool) -> None:
    ours, heading = walk(seed, steps, coasting=coasting)
    spread = ours.spread(heading)
    for b in range(2):
        for a in range(3):
            found = covariances(ours.step[b, :, a].numpy(), heading[b, :, a].numpy(), float(ours.dt[b]), coasting=coasting)
            for h, p in enumerate(found):
                r = rotation(float(heading[b, h, a]))
                np.testing.assert_allclose(spread[b, h, a].numpy(), np.sqrt(np.diag(r.T @ p @ r)), rtol=1e-9)


def test_one_step_has_exactly_its_own_deviations_even_where_they_differ_a_thousandfold() -> None:
    step = torch.tensor([1000.0, 1e-3, 0.1, 50.0, 1e-4]).expand(1, 1, 1, 5)
    spread = Walk(step, torch.tensor([0.1]), coasting=True).spread(torch.full((1, 1, 1), 0.7))
    torch.testing.assert_close(spread, step, rtol=1e-6, atol=0)


def test_the_spread_of_a_long_turning_walk_stays_exact_in_single_precision() -> None:
    double, heading = walk(3, 100, coasting=True)
    single = Walk(double.step.float(), double.dt.float(), coasting=True).spread(heading.float())
    torch.testing.assert_close(single.double(), double.spread(heading), rtol=1e-4, atol=0)


@pytest.mark.parametrize("coasting", [True, False])
def test_drawn_walks_have_the_covariance_of_the_model_at_every_step_and_between_steps(coasting: bool) -> None:
    n, steps = 40_000, 4
    one, heading = walk(1, steps, coasting=coasting, dtype=torch.float32)
    step, trajectory = one.step[:1, :, :1] * 0.5 + 0.2, heading[:1, :, :1]
    many = Walk(step.expand(n, -1, -1, -1), torch.full((n,), 0.3), coasting=coasting)
    drawn = many.draw(step.expand(n, -1, -1, -1), trajectory.expand(n, -1, -1), torch.Generator().manual_seed(0))[:, :, 0]
    found = covariances(step[0, :, 0].double().numpy(), trajectory[0, :, 0].double().numpy(), 0.3, coasting=coasting)
    for h in range(steps):
        theirs = torch.from_numpy(found[h])
        size = theirs.diagonal().sqrt()
        ours = drawn[:, h].T.cov().double() / size / size[:, None]
        torch.testing.assert_close(ours, theirs / size / size[:, None], atol=0.03, rtol=0)
    # Velocity errors add up, so consecutive ones have the covariance of the earlier one.
    between = (drawn[:, 0, 3] * drawn[:, 3, 3]).mean()
    assert float(between) == pytest.approx(found[0][3, 3], rel=0.05)


def test_a_shared_error_is_the_same_at_every_step_in_units_of_its_deviation() -> None:
    std = torch.rand(2, 5, 3, 5, generator=torch.Generator().manual_seed(0)) + 0.1
    drawn = Shared().draw(std, torch.zeros(2, 5, 3), torch.Generator().manual_seed(1)) / std
    torch.testing.assert_close(drawn, drawn[:, :1].expand_as(drawn))
    assert drawn[:, 0].std() > 0.3
