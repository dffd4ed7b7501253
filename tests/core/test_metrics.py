"""Displacement and existence metrics against plain loops, and the bootstrap against cases with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.metrics import Counts, Displacements, bootstrap_skill

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))


def scene(shape: tuple[int, int, int, int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Futures, truth, presence with agents that leave and come back, and who is scored."""
    b, s, h, a, seed = shape
    g = torch.Generator().manual_seed(seed)
    here = torch.rand(b, h, a, generator=g) < 0.7
    return torch.randn(b, s, h, a, 2, generator=g), torch.randn(b, h, a, 2, generator=g), here, torch.rand(b, a, generator=g) < 0.7


def plain(guess: Tensor, truth: Tensor, here: Tensor, scored: Tensor) -> dict[str, list[float]]:
    """Every metric of every scored agent by its definition."""
    p, x = guess.double().numpy(), truth.double().numpy()
    found: dict[str, list[float]] = {"ade": [], "fde": [], "minade": [], "minfde": []}
    batch, samples, horizon, agents, _ = p.shape
    for b in range(batch):
        for a in range(agents):
            if not scored[b, a]:
                continue
            steps = [h for h in range(horizon) if here[b, h, a]]
            centre = [sum(p[b, s, h, a] for s in range(samples)) / samples for h in range(horizon)]
            wrong = [math.dist(centre[h], x[b, h, a]) for h in steps]
            each = [[math.dist(p[b, s, h, a], x[b, h, a]) for h in steps] for s in range(samples)]
            ends = bool(here[b, -1, a])
            found["ade"].append(sum(wrong) / len(wrong) if wrong else math.nan)
            found["fde"].append(wrong[-1] if ends else math.nan)
            found["minade"].append(min(sum(e) / len(e) for e in each) if steps else math.nan)
            found["minfde"].append(min(e[-1] for e in each) if ends else math.nan)
    return found


@given(st.lists(SHAPES.map(lambda s: (*s[:1], 2, 3, *s[3:])), min_size=1, max_size=3))
def test_displacements_equal_a_plain_loop_over_several_batches(shapes: list[tuple[int, int, int, int, int]]) -> None:
    displacements, expected = Displacements(), {"ade": [], "fde": [], "minade": [], "minfde": []}
    for shape in shapes:
        displacements.add(*scene(shape))
        for name, values in plain(*scene(shape)).items():
            expected[name] += values
    summary = displacements.summary(0.5)
    for name, values in expected.items():
        np.testing.assert_allclose(displacements.per_agent(name), values, rtol=1e-6)
        known = [v for v in values if not math.isnan(v)]
        assert summary[name] == (pytest.approx(sum(known) / len(known)) if known else None)


@given(SHAPES)
def test_known_means_are_scored_as_the_mean_and_the_draws_as_futures(shape: tuple[int, int, int, int, int]) -> None:
    guess, truth, here, scored = scene(shape)
    expected = guess + 0.5
    displacements = Displacements()
    displacements.add(guess, truth, here, scored, expected=expected)
    means, draws = plain(expected, truth, here, scored), plain(guess, truth, here, scored)
    for name, values in {"ade": means, "fde": means, "minade": draws, "minfde": draws}.items():
        np.testing.assert_allclose(displacements.per_agent(name), values[name], rtol=1e-6)


@given(SHAPES)
def test_errors_by_time_equal_a_plain_loop(shape: tuple[int, int, int, int, int]) -> None:
    guess, truth, here, scored = scene(shape)
    displacements = Displacements()
    displacements.add(guess, truth, here, scored)
    for row in displacements.summary(1.0)["by_horizon"]:
        until = round(row["seconds"])
        cut = plain(guess[:, :, :until], truth[:, :until], here[:, :until], scored)
        for name, mine in (("fde", "error"), ("ade", "ade")):
            known = [v for v in cut[name] if not math.isnan(v)]
            assert row[mine] == (pytest.approx(sum(known) / len(known), rel=1e-6) if known else None)
        assert row["agents"] == sum(not math.isnan(v) for v in cut["fde"])


def test_errors_are_reported_at_whole_seconds_and_at_the_last_step() -> None:
    displacements = Displacements()
    displacements.add(torch.zeros(1, 1, 7, 1, 2), torch.zeros(1, 7, 1, 2), torch.ones(1, 7, 1).bool(), torch.ones(1, 1).bool())
    assert [row["seconds"] for row in displacements.summary(0.4)["by_horizon"]] == [2.0, 2.8]


def test_a_golden_case_by_hand() -> None:
    """Two futures, two steps, truth at the origin: future 0 is off by (3, 4) then by 0, future 1 by 0 then by (0, 2)."""
    guess = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]]])[None, :, :, None]
    displacements = Displacements()
    displacements.add(guess, torch.zeros(1, 2, 1, 2), torch.ones(1, 2, 1).bool(), torch.ones(1, 1).bool())
    # Mean future: (1.5, 2) is 2.5 away, (0, 1) is 1 away. Futures on average: 5 / 2 and 2 / 2; at the end: 0 and 2.
    assert {n: displacements.per_agent(n).tolist() for n in ("ade", "fde", "minade", "minfde")} == {
        "ade": [1.75],
        "fde": [1.0],
        "minade": [1.0],
        "minfde": [0.0],
    }


def test_what_stands_where_the_truth_does_not_exist_changes_nothing() -> None:
    guess, truth, here, scored = scene((2, 3, 4, 3, 5))
    clean, dirty = Displacements(), Displacements()
    clean.add(guess, truth, here, scored)
    dirty.add(guess.where(here[:, None, ..., None], torch.nan), truth.where(here[..., None], torch.nan), here, scored)
    for name in ("ade", "fde", "minade", "minfde"):
        np.testing.assert_array_equal(clean.per_agent(name), dirty.per_agent(name))


def test_nothing_gives_no_number() -> None:
    empty = Displacements()
    assert empty.summary(0.1) == {"ade": None, "fde": None, "minade": None, "minfde": None, "by_horizon": []}
    empty.add(torch.zeros(1, 1, 1, 1, 2), torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1).bool(), torch.ones(1, 1).bool())
    assert empty.summary(1.0)["by_horizon"] == [{"seconds": 1.0, "error": None, "ade": None, "agents": 0}]


def test_existence_is_counted_by_hand() -> None:
    counts = Counts()
    guess = torch.tensor([True, True, True, False, False, True])
    truth = torch.tensor([True, True, False, True, False, False])
    counted = torch.tensor([True, True, True, True, True, False])
    counts.add(guess, truth, counted)
    # Two hits, one false alarm, one miss: precision = recall = 2 / 3, so F1 = 2 / 3.
    assert (counts.hit, counts.false_alarm, counts.miss) == (2, 1, 1)
    assert counts.f1 == pytest.approx(2 / 3)
    counts.add(guess, truth, counted)
    assert (counts.hit, counts.false_alarm, counts.miss) == (4, 2, 2)


def test_nothing_to_find_and_nothing_claimed_is_perfect() -> None:
    assert Counts().f1 == 1.0
    assert Counts(miss=3).f1 == 0.0


def test_the_skill_of_a_constant_ratio_is_certain() -> None:
    baseline = np.random.default_rng(0).uniform(1, 5, 200)
    low, high = bootstrap_skill(0.7 * baseline, baseline, np.arange(200))
    assert low == pytest.approx(0.3)
    assert high == pytest.approx(0.3)


def test_the_interval_of_independent_agents_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(0)
    model = rng.normal(6, 2, 4000)
    low, high = bootstrap_skill(model, np.full(4000, 10.0), np.arange(4000), resamples=2000)
    half = 1.96 * model.std() / math.sqrt(4000) / 10
    assert low == pytest.approx(1 - model.mean() / 10 - half, abs=0.1 * half)
    assert high == pytest.approx(1 - model.mean() / 10 + half, abs=0.1 * half)


def test_copies_of_an_agent_in_its_cluster_make_nothing_more_certain() -> None:
    model, baseline = np.random.default_rng(1).uniform(1, 3, 50), np.full(50, 2.0)
    alone = bootstrap_skill(model, baseline, np.arange(50))
    copied = bootstrap_skill(np.tile(model, 9), np.tile(baseline, 9), np.tile(np.arange(50), 9))
    as_if_independent = bootstrap_skill(np.tile(model, 9), np.tile(baseline, 9), np.arange(450))
    assert copied == pytest.approx(alone)
    # Nine times as many independent agents would narrow the interval by a factor of three.
    assert (alone[1] - alone[0]) / (as_if_independent[1] - as_if_independent[0]) == pytest.approx(3, rel=0.15)


def test_agents_without_a_number_are_left_out_and_the_seed_decides() -> None:
    model, baseline = np.array([1.0, np.nan, 3.0, 2.0]), np.array([2.0, 2.0, 4.0, np.nan])
    cluster = np.array([7, 8, 9, 10])
    assert bootstrap_skill(model, baseline, cluster) == bootstrap_skill(model[[0, 2]], baseline[[0, 2]], cluster[[0, 2]])
    spread = np.random.default_rng(2).uniform(1, 3, 30)
    one, two = (bootstrap_skill(spread, spread[::-1], np.arange(30), seed=s) for s in (0, 1))
    assert one != two
    assert one == bootstrap_skill(spread, spread[::-1], np.arange(30), seed=0)


def test_no_agents_give_no_interval() -> None:
    assert all(math.isnan(v) for v in bootstrap_skill(np.array([np.nan]), np.array([1.0]), np.array([0])))
