"""Displacement and existence against plain loops and cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_cases import metric, truth_of
from torch import Tensor

from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Floats

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


def displacement(guess: Tensor, truth: Tensor, here: Tensor, scored: Tensor, expected: Tensor | None = None, dt: float = 1.0):
    """Sums of units and scores."""
    made = metric("displacement", guess.shape[2], dt=dt)
    sums = made.sums(Forecast(states=guess, expected=expected), truth_of(truth, here, scored))
    return sums, {k: float(v) for k, v in made.finish(sums.sum(axis=0)).items()}


def mean(values: list[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan


@given(SHAPES)
def test_displacements_equal_a_plain_loop(shape: tuple[int, int, int, int, int]) -> None:
    _, scores = displacement(*scene(shape))
    for name, values in plain(*scene(shape)).items():
        assert scores[name] == pytest.approx(mean(values), rel=1e-6, nan_ok=True)


@given(SHAPES)
def test_known_means_are_scored_as_the_mean_and_the_draws_as_futures(shape: tuple[int, int, int, int, int]) -> None:
    guess, truth, here, scored = scene(shape)
    _, scores = displacement(guess, truth, here, scored, expected=(guess + 0.5).double().mean(dim=1))
    means, draws = plain(guess + 0.5, truth, here, scored), plain(guess, truth, here, scored)
    for name, values in {"ade": means, "fde": means, "minade": draws, "minfde": draws}.items():
        assert scores[name] == pytest.approx(mean(values[name]), rel=1e-5, nan_ok=True)


@given(SHAPES)
def test_errors_by_time_equal_a_plain_loop(shape: tuple[int, int, int, int, int]) -> None:
    guess, truth, here, scored = scene(shape)
    _, scores = displacement(guess, truth, here, scored)
    for until in range(1, guess.shape[2] + 1):
        cut = plain(guess[:, :, :until], truth[:, :until], here[:, :until], scored)
        for name, mine in (("fde", "error"), ("ade", "ade")):
            assert scores[f"{mine}@{until}s"] == pytest.approx(mean(cut[name]), rel=1e-6, nan_ok=True)


def test_errors_are_reported_at_whole_seconds_and_at_the_last_step() -> None:
    _, scores = displacement(
        torch.zeros(1, 1, 7, 1, 2), torch.zeros(1, 7, 1, 2), torch.ones(1, 7, 1).bool(), torch.ones(1, 1).bool(), dt=0.4
    )
    assert [name for name in scores if name.startswith("error@")] == ["error@2s", "error@2.8s"]


def test_a_golden_case_by_hand() -> None:
    """Two futures, two steps, truth at the origin: future 0 is off by (3, 4) then by 0, future 1 by 0 then by (0, 2)."""
    guess = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 2.0]]])[None, :, :, None]
    _, scores = displacement(guess, torch.zeros(1, 2, 1, 2), torch.ones(1, 2, 1).bool(), torch.ones(1, 1).bool())
    # Mean future: (1.5, 2) is 2.5 away, (0, 1) is 1 away. Futures on average: 5 / 2 and 2 / 2; at the end: 0 and 2.
    assert [scores[n] for n in ("ade", "fde", "minade", "minfde")] == [1.75, 1.0, 1.0, 0.0]


def test_what_stands_where_the_truth_does_not_exist_changes_nothing() -> None:
    guess, truth, here, scored = scene((2, 3, 4, 3, 5))
    clean = displacement(guess, truth, here, scored)[0]
    dirty = displacement(guess.where(here[:, None, ..., None], 1e9), truth.where(here[..., None], torch.nan), here, scored)[0]
    np.testing.assert_array_equal(clean, dirty)


def existence(guess: Tensor | None, here: Tensor, scored: Tensor) -> tuple[Floats, float]:
    made = metric("existence", here.shape[1])
    truth = truth_of(torch.zeros(*here.shape, 2), here, scored)
    states = torch.zeros(here.shape[0], 1, *here.shape[1:], 2)
    sums = made.sums(Forecast(states=states, exists=None if guess is None else guess[:, None].float()), truth)
    return sums.sum(axis=0), float(made.finish(sums.sum(axis=0))["f1"])


def test_existence_is_counted_by_hand() -> None:
    guess = torch.tensor([[[True, True, True, False, False, True]]])
    truth = torch.tensor([[[True, True, False, True, False, False]]])
    counted = torch.tensor([[True, True, True, True, True, False]])
    # Two hits, one false alarm, one miss: precision = recall = 2 / 3, so F1 = 2 / 3.
    sums, f1 = existence(guess, truth, counted)
    assert sums[:3].tolist() == [2, 1, 1]
    assert f1 == pytest.approx(2 / 3)


def test_a_forecaster_that_does_not_say_claims_that_everybody_stays() -> None:
    here = torch.tensor([[[True, True]], [[False, True]]])
    # Three hits, one false alarm: 6 / 7.
    assert existence(None, here, torch.ones(2, 2).bool())[1] == pytest.approx(6 / 7)
