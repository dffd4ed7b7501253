"""The Kalman filter against the joint Gaussian of all measurements, which it must agree with, and its density against its futures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from baseline_scenes import Given, forecast, forecaster, scene, spec

from twm_baselines.filter import Noises, process_noise, run_filter, transition
from twm_baselines.likelihood import first_speed, fit_noises
from twm_core.errors import DataError, UsageError
from twm_core.specs import ObservationSpec

OBS_SPEC: ObservationSpec = spec(context=5)
GIVEN = {"process": 0.8, "measurement": 0.3, "speed": 2.0}
MODELS = ("velocity", "acceleration")


def joint(model: str, steps: int, dt: float, noises: Noises) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of all states of one coordinate `[T*n,T*n]`, given the first measurement, and the matrix that takes positions of it.

    Written out as one big Gaussian: s[0] has the initial covariance; cov(s[j], s[k]) = F^(j-k) cov(s[k]) for j >= k.
    """
    seconds = torch.tensor([dt], dtype=torch.float64)
    f, q = transition(seconds, model)[0].numpy(), noises.process * process_noise(seconds, model)[0].numpy()
    n = len(f)
    covariances = [np.diag([noises.measurement**2, noises.speed**2, noises.acceleration**2][:n])]
    for _ in range(steps - 1):
        covariances.append(f @ covariances[-1] @ f.T + q)
    whole = np.zeros((steps * n, steps * n))
    for k in range(steps):
        for j in range(k, steps):
            block = np.linalg.matrix_power(f, j - k) @ covariances[k]
            whole[j * n : (j + 1) * n, k * n : (k + 1) * n] = block
            whole[k * n : (k + 1) * n, j * n : (j + 1) * n] = block.T
    return whole, np.kron(np.eye(steps), np.eye(n)[:1])


@pytest.mark.parametrize("model", MODELS)
def test_the_process_noise_is_the_integral_of_white_noise_through_the_transition(model) -> None:
    # Q = integral over 0..d of F(u) e e' F(u)' du, with e the last unit vector; by the midpoint rule.
    d, fine = 0.7, 2000
    u = (torch.arange(fine, dtype=torch.float64) + 0.5) * d / fine
    column = transition(u, model)[:, :, -1]
    torch.testing.assert_close(
        process_noise(torch.tensor([d], dtype=torch.float64), model)[0],
        (column[:, :, None] * column[:, None]).sum(0) * d / fine,
        rtol=1e-6,
        atol=0,
    )


@pytest.mark.parametrize("model", MODELS)
def test_filter_and_likelihood_are_those_of_the_joint_gaussian_also_across_a_gap(model) -> None:
    noises, dt, steps = Noises(0.8, 0.3, 2.0, 1.5), 0.5, 6
    known = np.asarray([True, True, False, True, True, False])
    z = np.random.default_rng(1).normal(size=(steps, 2))
    whole, take = joint(model, steps, dt, noises)
    n = len(whole) // steps
    later = np.flatnonzero(known)[1:]
    picked = take[later]
    covariance = picked @ whole @ picked.T + noises.measurement**2 * np.eye(len(later))
    start = np.zeros((steps * n, 2))
    start[::n] = z[0]  # the track begins at its first measurement, at rest
    off = z[later] - picked @ start
    wanted = -0.5 * np.trace(off.T @ np.linalg.solve(covariance, off)) - np.linalg.slogdet(2 * math.pi * covariance)[1]
    gain = whole @ picked.T @ np.linalg.inv(covariance)
    mean, spread = start + gain @ off, whole - gain @ picked @ whole
    found = run_filter(torch.tensor(z)[None], torch.tensor(known)[None], torch.tensor([dt]), noises, model)
    assert float(found.log_likelihood) == pytest.approx(wanted, rel=1e-9)
    np.testing.assert_allclose(found.mean[0].numpy(), mean[-n:], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.covariance[0].numpy(), spread[-n:, -n:], rtol=1e-8, atol=1e-10)
    assert float(found.counted) == 3


def simulated(count: int, steps: int, dt: float, noises: Noises, seed: int = 0) -> torch.Tensor:
    """Measured tracks `[N,T,2]` of the model of constant velocity, by a NumPy loop."""
    random = np.random.default_rng(seed)
    seconds = torch.tensor([dt], dtype=torch.float64)
    f, q = transition(seconds, "velocity")[0].numpy(), noises.process * process_noise(seconds, "velocity")[0].numpy()
    state = np.stack([np.zeros((count, 2)), noises.speed * random.normal(size=(count, 2))], axis=1)
    found = []
    for _ in range(steps):
        found.append(state[:, 0] + noises.measurement * random.normal(size=(count, 2)))
        state = f @ state + np.linalg.cholesky(q) @ random.normal(size=(count, 2, 2))
    return torch.tensor(np.stack(found, axis=1))


def test_maximum_likelihood_finds_the_noises_that_tracks_were_made_with() -> None:
    true, dt = Noises(0.5, 0.1, 3.0), 0.4
    z = simulated(600, 20, dt, true)
    found = fit_noises(z, torch.ones(z.shape[:2], dtype=torch.bool), torch.full((600,), dt), model="velocity")
    # 600 x 19 x 2 measurements: standard errors are some 2 %, and the search stops at 5 %.
    assert found.process == pytest.approx(0.5, rel=0.12)
    assert found.measurement == pytest.approx(0.1, rel=0.12)
    # Between two measurements: v^2 + (2 r^2 + q d^3 / 3) / d^2.
    assert found.speed == pytest.approx(math.sqrt(9 + (2 * 0.01 + 0.5 * 0.4**3 / 3) / 0.16), rel=0.06)


def test_a_given_noise_stays_and_the_other_is_fitted_to_it() -> None:
    z = simulated(200, 12, 0.4, Noises(0.5, 0.1, 3.0))
    known, dt = torch.ones(z.shape[:2], dtype=torch.bool), torch.full((200,), 0.4)
    found = fit_noises(z, known, dt, model="velocity", measurement=0.2, speed=3.0)
    assert (found.measurement, found.speed) == (0.2, 3.0)

    def likelihood(q: float) -> float:
        return float(run_filter(z, known, dt, Noises(q, 0.2, 3.0), "velocity").log_likelihood.sum())

    assert likelihood(found.process) >= max(likelihood(found.process * s) for s in (0.5, 0.9, 1.1, 2.0)) - 1e-9


def test_the_first_speed_counts_the_time_that_really_passed() -> None:
    # 6 m in two steps of 0.5 s along x and none along y: components 6 and 0, root mean square 6 / sqrt 2.
    z = torch.tensor([[[0.0, 0.0], [9.0, 9.0], [6.0, 0.0], [50.0, 0.0]]])
    assert first_speed(z, torch.tensor([[True, False, True, True]]), torch.tensor([0.5])) == pytest.approx(6 / math.sqrt(2))


def walker():
    return scene(
        OBS_SPEC, [{"x": 100 + 0.6 * t, "y": -50 + 0.1 * t * t, "heading": 0.4} for t in range(5)], [None, None, None, None, {"x": 3}]
    )


@pytest.mark.parametrize("model", MODELS)
def test_density_integrates_to_one_and_is_that_of_the_futures(model) -> None:
    out = forecast("kalman", OBS_SPEC, walker(), steps=3, samples=20_000, model=model, **GIVEN)
    assert out.log_density is not None
    for agent in range(2):
        for h in range(3):
            futures = out.states[0, :, h, agent, :2].double()
            mean, deviation = futures.mean(dim=0), futures.std(dim=0)
            # Standard errors of mean and deviation: s / sqrt S and s / sqrt 2 S; four of them.
            assert bool(((mean - out.mean()[0, h, agent]).abs() < 4 * deviation / math.sqrt(20_000)).all())
            grid = torch.linspace(-6, 6, 241).double()
            at = mean + deviation * torch.stack(torch.meshgrid(grid, grid, indexing="ij"), dim=-1).reshape(-1, 1, 2)
            density = torch.stack([out.log_density(p.expand(1, 3, 2, 2))[0, h, agent] for p in at[::97, 0]])
            peak = out.log_density(out.mean())[0, h, agent]
            # Of a Gaussian alike in both coordinates the peak is -log 2 pi s^2, and the rest follows from the distance.
            spread = float(torch.exp(-peak) / (2 * math.pi))
            assert float(deviation.square().mean()) == pytest.approx(spread, rel=4 / math.sqrt(20_000))
            wanted = peak - (at[::97, 0] - out.mean()[0, h, agent]).square().sum(dim=-1) / (2 * spread)
            torch.testing.assert_close(density, wanted, atol=1e-3, rtol=1e-4)
            cell = (grid[1] - grid[0]) ** 2 * deviation.prod()
            values = peak - (at[:, 0] - out.mean()[0, h, agent]).square().sum(dim=-1) / (2 * spread)
            assert float(values.exp().sum() * cell) == pytest.approx(1, abs=1e-3)


def test_with_hardly_any_noise_it_is_the_line_through_exact_positions() -> None:
    agent = [{"x": 2.0 * t, "y": 1 - t} for t in range(5)]
    out = forecast("kalman", OBS_SPEC, scene(OBS_SPEC, agent), process=1e-8, measurement=1e-4, speed=100.0)
    torch.testing.assert_close(
        out.mean()[0, :, 0], torch.tensor([[10.0, -4.0], [12.0, -5.0], [14.0, -6.0], [16.0, -7.0]]), atol=2e-3, rtol=0
    )


def test_an_agent_seen_once_is_expected_to_stay_and_may_go_anywhere() -> None:
    out = forecast("kalman", OBS_SPEC, walker(), steps=1, **GIVEN)
    # Variance after 0.5 s: r^2 + v^2 d^2 + q d^3 / 3, and r^2 for measuring: 0.09 + 1 + 0.8/24 + 0.09.
    variance = 0.09 + 4 * 0.25 + 0.8 * 0.125 / 3 + 0.09
    assert out.log_density is not None
    torch.testing.assert_close(out.mean()[0, 0, 1], torch.tensor([3.0, 0.0]))
    assert float(out.log_density(out.mean())[0, 0, 1]) == pytest.approx(-math.log(2 * math.pi * variance), rel=1e-5)


def test_fitting_reads_training_windows_once_and_forecasting_leaves_what_was_fitted_alone() -> None:
    z = simulated(40, 9, 0.5, Noises(0.5, 0.1, 3.0))
    agents = [[{"x": float(x), "y": float(y)} for x, y in track] for track in z]
    whole = scene(OBS_SPEC, *agents)
    who = forecaster("kalman", OBS_SPEC)
    who.fit(Given(whole))
    fitted = who.noises
    again = forecaster("kalman", OBS_SPEC)
    again.fit(Given(whole))
    assert again.noises == fitted
    forecast(who, OBS_SPEC, walker())
    assert who.noises == fitted


def test_unfitted_and_without_tracks_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="has learned no noises yet") as unfitted:
        forecast("kalman", OBS_SPEC, walker(), process=1.0)
    assert "call fit" in str(unfitted.value.hint)
    with pytest.raises(DataError, match="no agent is seen twice"):
        forecaster("kalman", OBS_SPEC).fit(Given(scene(OBS_SPEC, [{"x": 1}, *[None] * 8])))
