"""The bootstrap against closed forms and an explicit loop: intervals of ratios, clusters, paired differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twm_core.evaluation import bootstrap
from twm_core.evaluation.bootstrap import cluster_sums, interval, p_value, resampled


def skill(model: np.ndarray, baseline: np.ndarray, cluster: np.ndarray, *, seed: int = 0, resamples: int = 1000) -> tuple[float, float]:
    """The interval of 1 - mean(model) / mean(baseline)."""
    drawn = resampled(cluster_sums(np.stack([model, baseline], axis=1), cluster), seed=seed, resamples=resamples)
    return interval(1 - drawn[:, 0] / drawn[:, 1])


def test_sums_of_clusters_are_those_of_a_loop() -> None:
    sums, cluster = np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).integers(100, 107, 40)
    wanted = [sum(row for row, c in zip(sums, cluster, strict=True) if c == number) for number in sorted(set(cluster))]
    np.testing.assert_allclose(cluster_sums(sums, cluster), wanted, rtol=1e-12)


def test_resampled_sums_are_sums_over_the_drawn_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.random.default_rng(3).normal(size=(7, 2))
    drawn = np.random.default_rng(5).integers(0, 7, (50, 7))
    np.testing.assert_allclose(resampled(sums, resamples=50, seed=5), [sums[row].sum(axis=0) for row in drawn], rtol=1e-12)
    monkeypatch.setattr(bootstrap, "_AT_ONCE", 20)  # in pieces of two resamples the same stream is drawn
    np.testing.assert_allclose(resampled(sums, resamples=50, seed=5), [sums[row].sum(axis=0) for row in drawn], rtol=1e-12)


def test_the_skill_of_a_constant_ratio_is_certain() -> None:
    baseline = np.random.default_rng(0).uniform(1, 5, 200)
    assert skill(0.7 * baseline, baseline, np.arange(200)) == pytest.approx((0.3, 0.3))


def test_the_interval_of_independent_agents_is_that_of_the_normal_approximation() -> None:
    model = np.random.default_rng(0).normal(6, 2, 4000)
    low, high = skill(model, np.full(4000, 10.0), np.arange(4000), resamples=2000)
    half = 1.96 * model.std() / math.sqrt(4000) / 10
    assert low == pytest.approx(1 - model.mean() / 10 - half, abs=0.1 * half)
    assert high == pytest.approx(1 - model.mean() / 10 + half, abs=0.1 * half)


def test_copies_of_an_agent_in_its_cluster_make_nothing_more_certain() -> None:
    model, baseline = np.random.default_rng(1).uniform(1, 3, 50), np.full(50, 2.0)
    alone = skill(model, baseline, np.arange(50))
    copied = skill(np.tile(model, 9), np.tile(baseline, 9), np.tile(np.arange(50), 9))
    as_if_independent = skill(np.tile(model, 9), np.tile(baseline, 9), np.arange(450))
    assert copied == pytest.approx(alone)
    # Nine times as many independent agents would narrow the interval by a factor of three.
    assert (alone[1] - alone[0]) / (as_if_independent[1] - as_if_independent[0]) == pytest.approx(3, rel=0.15)


def test_the_seed_decides() -> None:
    spread = np.random.default_rng(2).uniform(1, 3, 30)
    one, two, again = (skill(spread, spread[::-1], np.arange(30), seed=s) for s in (0, 1, 0))
    assert one != two
    assert one == again


def test_two_clusters_give_the_three_means_that_two_draws_can_have() -> None:
    """Of clusters 0 and 4 the mean of two draws is 0, 2 or 4, with probabilities 1/4, 1/2, 1/4: the 95 % interval is [0, 4]."""
    drawn = resampled(np.asarray([[0.0], [4.0]]), resamples=4000)[:, 0] / 2
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [0, 2, 4]
    np.testing.assert_allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.03)
    assert interval(drawn) == (0, 4)


def test_no_clusters_give_sums_of_nothing_and_no_interval() -> None:
    assert resampled(np.zeros((0, 2)), resamples=3).tolist() == [[0, 0]] * 3
    assert all(math.isnan(v) for v in interval(np.full(5, np.nan)))
    assert math.isnan(p_value(np.full(5, np.nan)))


def test_the_p_value_counts_both_sides_and_the_sample_itself() -> None:
    # 99 resamples, 3 of them at or below 0: 2 (3 + 1) / (99 + 1).
    assert p_value(np.asarray([*[-1.0] * 3, *[1.0] * 96])) == pytest.approx(0.08)
    assert p_value(np.full(99, -2.0)) == pytest.approx(0.02)  # never 0
    assert p_value(np.zeros(99)) == 1.0


def test_the_p_value_of_a_normal_difference_is_that_of_the_normal_test() -> None:
    """A mean difference of d with standard error s has p = 2 Phi(-d / s); here d / s = 1.96 gives 0.05."""
    apart = np.random.default_rng(0).normal(size=4000)
    apart += 1.96 * apart.std() / math.sqrt(4000) - apart.mean()
    drawn = resampled(apart[:, None], resamples=4000)[:, 0] / 4000
    assert p_value(drawn) == pytest.approx(0.05, abs=0.015)
