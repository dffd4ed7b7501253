"""Likelihood, energy score, CRPS and calibration: by hand, against plain loops, and by what makes a score proper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_cases import futures, metric, one, path, scores_of, truth_of
from torch import Tensor, distributions

from twm_core.evaluation.forecast import Forecast
from twm_metrics.crps import ensemble_crps
from twm_metrics.nll import kernel_log_density

SEEDS = st.integers(0, 10**6)


@given(SEEDS)
def test_the_kernel_density_is_a_mixture_of_normals(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    points, weights = torch.randn(12, 2, generator=g).double(), torch.rand(12, generator=g).double() + 0.1
    weights = weights / weights.sum()
    at = torch.randn(2, generator=g).double()
    mine = kernel_log_density(points[None, :, None, None], weights[None, :, None], at[None, None, None], floor=1e-6)
    spread = torch.cov(points.T, aweights=weights, correction=0) * weights.square().sum() ** (1 / 3)
    kernels = distributions.MultivariateNormal(points, spread)
    whole = distributions.MixtureSameFamily(distributions.Categorical(weights), kernels)
    assert float(mine) == pytest.approx(float(whole.log_prob(at)), rel=1e-6, abs=1e-6)


def test_futures_that_agree_have_the_density_of_the_floor() -> None:
    # One point, floor 0.5 m, one future: n = 1, so the kernel is N(0, 0.25 I): -log p at 0 is log(2 pi 0.25).
    scores = scores_of(metric("nll", 1, floor=0.5), Forecast(states=futures([[1.0, 2.0]])), truth_of(path([1.0, 2.0]), *one(1)))
    assert scores["kde_nll"] == pytest.approx(math.log(2 * math.pi * 0.25))
    assert math.isnan(scores["density_nll"])


def test_one_surprise_costs_at_most_what_the_least_value_says() -> None:
    scores = scores_of(metric("nll", 1, least=-7.0), Forecast(states=futures([[0.0, 0.0]])), truth_of(path([1e4, 0.0]), *one(1)))
    assert scores["kde_nll"] == 7.0


def test_a_forecaster_s_own_density_is_read_at_the_true_positions() -> None:
    def density(positions: Tensor) -> Tensor:
        return -positions.square().sum(dim=-1)

    forecast = Forecast(states=futures([[0.0, 0.0]] * 2), log_density=density)
    scores = scores_of(metric("nll", 2), forecast, truth_of(path([1.0, 1.0], [2.0, 0.0]), *one(2)))
    assert scores["density_nll"] == 3.0  # (2 + 4) / 2


def test_the_energy_score_by_hand() -> None:
    # One step, truth at 0, futures at 3 and at -1 with probabilities 1/4 and 3/4: 0.25 * 3 + 0.75 - 0.5 * 2 * (3/16) * 4 = 0.75.
    guess, weights = futures([[3.0, 0.0]], [[-1.0, 0.0]]), torch.tensor([0.25, 0.75])[None, :, None]
    scores = scores_of(metric("energy-score", 1), Forecast(states=guess, weights=weights), truth_of(path([0.0, 0.0]), *one(1)))
    assert scores["energy_score"] == pytest.approx(0.75)


def test_a_single_future_scores_its_distance() -> None:
    guess, truth = futures([[3.0, 4.0], [0.0, 0.0]]), truth_of(path([0.0, 0.0], [0.0, 0.0]), *one(2))
    assert scores_of(metric("energy-score", 2), Forecast(states=guess), truth)["energy_score"] == pytest.approx(5 / math.sqrt(2))
    crps = scores_of(metric("crps", 2), Forecast(states=guess), truth)
    assert crps == {"crps_along": 1.5, "crps_across": 2.0}


@given(SEEDS, st.integers(1, 7))
def test_crps_equals_its_double_sum(seed: int, samples: int) -> None:
    g = torch.Generator().manual_seed(seed)
    off, weights = torch.randn(2, samples, 3, 2, generator=g).double(), torch.rand(2, samples, 2, generator=g).double() + 0.01
    weights = weights / weights.sum(dim=1, keepdim=True)
    w = weights[:, :, None]
    plain = (w * off.abs()).sum(dim=1) - 0.5 * sum(
        w[:, s] * w[:, t] * (off[:, s] - off[:, t]).abs() for s in range(samples) for t in range(samples)
    )
    torch.testing.assert_close(ensemble_crps(off, weights), plain)


def test_axes_are_those_of_the_last_observed_movement() -> None:
    past = torch.tensor([[0.0, -1.0], [0.0, 0.0]])[None, :, None]  # going north
    truth = truth_of(path([0.0, 0.0]), *one(1), past=past)
    scores = scores_of(metric("crps", 1), Forecast(states=futures([[1.0, 3.0]])), truth)
    assert scores == {"crps_along": pytest.approx(3.0), "crps_across": pytest.approx(1.0)}


@pytest.mark.parametrize("name", ["energy-score", "crps"])
def test_what_really_happens_scores_better_than_too_narrow_too_wide_or_beside(name: str) -> None:
    """Properness, over many draws: futures from the truth's own distribution are best on average."""
    g = torch.Generator().manual_seed(0)
    true = torch.randn(3000, 1, 1, 2, generator=g)
    noise = torch.randn(3000, 30, 1, 1, 2, generator=g)
    truth = truth_of(true, torch.ones(3000, 1, 1).bool(), torch.ones(3000, 1).bool())
    made = metric(name, 1, samples=30)
    found = {
        k: sum(scores_of(made, Forecast(states=v), truth).values())
        for k, v in {"right": noise, "narrow": 0.4 * noise, "wide": 2 * noise, "beside": noise + 0.7}.items()
    }
    assert min(found, key=lambda k: found[k]) == "right"


def calibrated(spread: float, *, shift: float = 0.0, count: int = 4000) -> dict[str, float]:
    g = torch.Generator().manual_seed(1)
    true = torch.randn(count, 1, 1, 2, generator=g)
    noise = spread * torch.randn(count, 50, 1, 1, 2, generator=g) + shift
    truth = truth_of(true, torch.ones(count, 1, 1).bool(), torch.ones(count, 1).bool())
    return scores_of(metric("calibration", 1, samples=50), Forecast(states=noise), truth)


def test_the_pit_is_flat_for_futures_that_come_from_what_happens() -> None:
    assert calibrated(1.0)["pit_deviation"] < 0.02
    assert calibrated(0.3)["pit_deviation"] > 0.2
    assert calibrated(3.0)["pit_deviation"] > 0.2
    assert calibrated(1.0, shift=1.0)["pit_deviation"] > 0.2


def test_the_pit_by_hand() -> None:
    # Futures at 1, 2, 3, 4 along x with 0.1, 0.2, 0.3, 0.4; truth at 2.5: F = 0.3, so mass from 4 * 0.3 / 5 = 0.24 to (1.2 + 1) / 5 = 0.44:
    # 0.06, 0.1 and 0.04 of 0.2 in bins 2, 3 and 4. Across, all are tied with the truth: flat.
    guess, weights = futures(*([[float(x), 0.0]] for x in (1, 2, 3, 4))), torch.tensor([0.1, 0.2, 0.3, 0.4])[None, :, None]
    made = metric("calibration", 1)
    sums = made.sums(Forecast(states=guess, weights=weights), truth_of(path([2.5, 0.0]), *one(1)))[0]
    np.testing.assert_allclose(sums[:10], [0, 0, 0.3, 0.5, 0.2, 0, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(sums[10:20], 0.1)


def test_the_reliability_of_futures_by_hand() -> None:
    # Two agents; the future that is said to be right with 0.75 is nearest for one of them. ECE: |0.75 - 0.5| / 2 + |0.25 - 0.5| / 2.
    guess = torch.zeros(2, 2, 1, 1, 2)
    guess[:, 1] = 1.0
    true = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 1, 2).clone()
    weights = torch.tensor([0.75, 0.25])[None, :, None].expand(2, 2, 1)
    truth = truth_of(true, torch.ones(2, 1, 1).bool(), torch.ones(2, 1).bool())
    assert scores_of(metric("calibration", 1), Forecast(states=guess, weights=weights), truth)["mode_ece"] == pytest.approx(0.25)


def test_the_reliability_of_existence_by_hand_and_its_curve() -> None:
    # Said to be there with 0.9 at four steps, there at three: |0.9 - 0.75|.
    here, scored = one(4, True, True, True, False)
    forecast = Forecast(states=futures([[0.0, 0.0]] * 4), exists=torch.full((1, 1, 4, 1), 0.9))
    made = metric("calibration", 4)
    truth = truth_of(torch.zeros(1, 4, 1, 2), here, scored)
    sums = made.sums(forecast, truth).sum(axis=0)
    assert float(made.finish(sums)["existence_ece"]) == pytest.approx(0.15)
    curve = made.curves(sums)["reliability of existence"]
    assert (curve.x.tolist(), curve.y.tolist(), curve.weight.tolist()) == ([pytest.approx(0.9)], [0.75], [4.0])
    assert set(made.curves(sums)) == {
        "PIT along the last movement",
        "PIT across the last movement",
        "reliability of futures",
        "reliability of existence",
    }


@given(SEEDS)
def test_scores_do_not_depend_on_where_the_world_begins_or_on_the_order_of_futures(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    guess, true = torch.randn(2, 4, 3, 2, 2, generator=g).double(), torch.randn(2, 3, 2, 2, generator=g).double()
    here, scored = torch.rand(2, 3, 2, generator=g) < 0.8, torch.ones(2, 2).bool()
    order = torch.randperm(4, generator=g)
    for name in ("nll", "energy-score", "crps"):
        made = metric(name, 3)
        plain = scores_of(made, Forecast(states=guess), truth_of(true, here, scored))
        moved = scores_of(made, Forecast(states=guess[:, order] + 8.0), truth_of(true + 8.0, here, scored))
        assert moved == pytest.approx(plain, rel=1e-6, nan_ok=True)
