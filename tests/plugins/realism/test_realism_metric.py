"""The metric as a whole: golden numbers with their derivations, and what must not change it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core.data.scenario import Lane, RoadMap
from twm_core.data.schema import traffic_observations
from twm_core.errors import DataError, UsageError
from twm_core.evaluation.forecast import Forecast, Truth
from twm_core.evaluation.interfaces import Metric
from twm_core.specs import ForecastSpec, MetricSpecs
from twm_realism import distance
from twm_realism.config import BINS, FEATURES, RealismConfig
from twm_realism.metric import build

COLUMNS = ("x", "y", "heading", "vx", "vy", "length", "width")
CONTEXT = 3
STATES = ("x", "y", "heading")


def make_truth(states: Tensor, *, dt: float = 0.5, scored: Tensor | None = None, maps: tuple[RoadMap | None, ...] = ()) -> Truth:
    """A truth from `[B, C + H, A, 7]`; everybody is there and scored by default."""
    windows, steps, agents, _ = states.shape
    here = torch.ones(windows, steps, agents, dtype=torch.bool)
    return Truth(
        batch={"agents.type": torch.ones(windows, agents, dtype=torch.int64)},
        features=COLUMNS,
        past=states[:, :CONTEXT],
        past_exists=here[:, :CONTEXT],
        states=states[:, CONTEXT:],
        here=here[:, CONTEXT:],
        scored=torch.ones(windows, agents, dtype=torch.bool) if scored is None else scored,
        vehicle=torch.arange(windows * agents).reshape(windows, agents),
        window=torch.arange(windows),
        scenario=torch.zeros(windows, dtype=torch.int64),
        dt=dt,
        maps=maps,
    )


def drive(start: Tensor, speed: Tensor, *, steps: int = 9, dt: float = 0.5, heading: float = 0.0) -> Tensor:
    """Cars of 4 x 2 m that go straight, `[steps, A, 7]`, from positions `[A, 2]` at speeds `[A]`."""
    direction = torch.tensor([torch.cos(torch.tensor(heading)), torch.sin(torch.tensor(heading))])
    time = torch.arange(steps)[:, None, None] * dt
    xy = start + time * speed[:, None] * direction
    velocity = (speed[:, None] * direction).expand_as(xy)
    rest = torch.tensor([4.0, 2.0]).expand_as(xy)
    return torch.cat([xy, torch.full_like(xy[..., :1], heading), velocity, rest], dim=-1)


@pytest.fixture
def metric() -> Callable[..., Metric]:
    """A function that builds the metric with the given fields of its config."""

    def make(*, samples: int = 4, states: tuple[str, ...] = STATES, **fields: Any) -> Metric:
        seen = traffic_observations(features=COLUMNS, dt=0.5, context=CONTEXT, horizon=6, protocol="test")
        config = RealismConfig(**fields)
        forecast = ForecastSpec(states=states, several=True)
        assert config.accepts(seen, forecast) is None
        return build(config, MetricSpecs(obs_spec=seen, forecast=forecast, samples=samples))

    return make


def as_forecast(states: Tensor) -> Forecast:
    """Futures `[B, S, H, A, 7]` with x, y and heading."""
    return Forecast(states=states[..., :3].float())


Make = Callable[..., Metric]

ROAD = RoadMap(lanes=(Lane(id="only", centre=np.array([[-50.0, 0.0], [300.0, 0.0]]), width=4.0),))


def score(metric: Metric, forecast: Forecast, truth: Truth) -> dict[str, float]:
    return {k: float(v) for k, v in metric.finish(metric.sums(forecast, truth).sum(axis=0)).items()}


def two_cars() -> torch.Tensor:
    """One window: a car at 10 m/s, 30 m behind (centres) another one at 10 m/s. `[1, 9, 2, 7]`."""
    return drive(torch.tensor([[0.0, 0.0], [30.0, 0.0]]), torch.tensor([10.0, 10.0]))[None]


def copies(states: torch.Tensor, samples: int = 4) -> torch.Tensor:
    return states[:, None, CONTEXT:].expand(-1, samples, -1, -1, -1).clone()


def noisy(windows: int = 2, agents: int = 4, samples: int = 4) -> tuple[Forecast, Truth]:
    """Some windows of cars that drive about, with futures that differ."""
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(windows, agents, 2, generator=generator) * torch.tensor([80.0, 12.0])
    speed = 5 + 10 * torch.rand(windows, agents, generator=generator)
    states = torch.stack([drive(start[b], speed[b]) for b in range(windows)])
    future = copies(states, samples)
    future[..., :3] += torch.randn(future[..., :3].shape, generator=generator) * torch.tensor([0.5, 0.3, 0.05])
    return as_forecast(future), make_truth(states, maps=(ROAD,) * windows)


def test_futures_like_the_log_have_the_likelihood_that_smoothing_leaves(metric: Make) -> None:
    # Constant speed: all values of an agent are in one bin. Of 6 predicted steps 5 have a speed and 4 an acceleration (the last ones lack
    # a side; two observed steps stand before). So for 4 copies p = (4 n + 0.1) / (4 n + 0.1 bins), with n = 5, 4, or 6 for distances.
    states = two_cars()
    found = score(metric(), as_forecast(copies(states)), make_truth(states))
    steps = {"linear_speed": 5, "linear_acceleration": 4, "angular_speed": 5, "angular_acceleration": 4}
    steps |= {"object_distance": 6, "time_to_collision": 5}
    expected = {n: (4 * k + 0.1) / (4 * k + 0.1 * BINS["2024"][n].count) for n, k in steps.items()}
    expected["collision"] = 4.001 / 4.002
    for name, value in expected.items():
        assert found[f"{name}_likelihood"] == pytest.approx(value), name
    total = sum(BINS["2024"][n].weight for n in expected)
    assert found["weight_counted"] == pytest.approx(total) == pytest.approx(0.65)
    assert found["realism"] == pytest.approx(sum(BINS["2024"][n].weight * v for n, v in expected.items()) / total)
    assert np.isnan(found["offroad_likelihood"])
    assert np.isnan(found["offroad_rate"])


def test_a_collision_in_one_of_four_futures_has_three_quarters_left(metric: Make) -> None:
    states = two_cars()
    future = copies(states)
    future[:, 0, 3, 0, 0] = future[:, 0, 3, 1, 0] - 2.0  # one step inside the other car, in one future
    found = score(metric(), as_forecast(future), make_truth(states))
    assert found["collision_likelihood"] == pytest.approx(3.001 / 4.002)
    assert found["collision_rate"] == pytest.approx(0.25)
    assert found["collision_rate_log"] == 0.0


def test_leaving_the_road_in_half_of_the_futures_leaves_half(metric: Make) -> None:
    states = drive(torch.tensor([[0.0, 0.0]]), torch.tensor([10.0]))[None]
    future = copies(states)
    future[:, :2, -1, 0, 1] = 1.5  # its left side (1 m from the middle) is 0.5 m beyond the edge at 2 m
    found = score(metric(), as_forecast(future), make_truth(states, maps=(ROAD,)))
    assert found["offroad_likelihood"] == pytest.approx(2.001 / 4.002)
    assert (found["offroad_rate"], found["offroad_rate_log"]) == (0.5, 0.0)
    assert found["weight_counted"] == pytest.approx(1.0)
    # Distances to the edge: 22 values at 1 - 2 = -1 m and 2 at 0.5 m, all in the bin from -2 to 4 m (6 m wide bins begin at -20).
    assert found["road_edge_distance_likelihood"] == pytest.approx(24.1 / 25.0)


def test_pedestrians_are_not_off_the_road(metric: Make) -> None:
    states = drive(torch.tensor([[0.0, 30.0]]), torch.tensor([1.0]))[None]
    truth = make_truth(states, maps=(ROAD,))
    truth.batch["agents.type"][:] = 6
    assert np.isnan(score(metric(), as_forecast(copies(states)), truth)["offroad_rate"])


def test_headways_and_speeds_are_those_of_the_cars(metric: Make) -> None:
    # Space 30 - 2 - 2 = 26 m at 10 m/s: 2.6 s. Futures drive at 12 m/s from where the log is, both cars: same space, 26 / 12 s.
    states = two_cars()
    future = drive(states[0, CONTEXT - 1, :, :2], torch.tensor([12.0, 12.0]), steps=7)[None, None, 1:]
    found = score(metric(samples=1), as_forecast(future), make_truth(states))
    assert found["space_gap_mean"] == pytest.approx(26.0, abs=1e-3)
    assert found["time_gap_mean_log"] == pytest.approx(2.6, abs=1e-3)
    assert found["speed_mean"] == pytest.approx(12.0, abs=1e-3)
    assert found["speed_distance"] == pytest.approx(2.0, abs=0.26)  # 12 - 10, to the width of a bin
    assert found["time_gap_mean"] == pytest.approx(26 / 12, abs=1e-3)
    assert (found["following"], found["following_log"]) == (0.5, 0.5)
    # Errors 1, 2, ..., 6 m after 6 steps of 0.5 s at 2 m/s more.
    assert found["minade"] == pytest.approx(3.5, abs=1e-4)


def test_one_future_counts_as_many_copies_and_weights_as_shares(metric: Make) -> None:
    forecast, truth = noisy()
    one = Forecast(states=forecast.states[:, :1])
    four = Forecast(states=forecast.states[:, :1].expand(-1, 4, -1, -1, -1))
    assert score(metric(), one, truth) == pytest.approx(score(metric(), four, truth))
    weights = torch.zeros(2, 4, 4)
    weights[:, 0] = 1.0
    weighted = score(metric(), replace(forecast, weights=weights), truth)
    single = score(metric(), one, truth)
    assert {k: v for k, v in weighted.items() if k != "minade"} == pytest.approx({k: v for k, v in single.items() if k != "minade"})


def test_a_window_is_one_unit_and_batches_change_nothing(metric: Make) -> None:
    forecast, truth = noisy(windows=3)
    together = metric().sums(forecast, truth)
    assert len(together) == 3
    for b in range(3):
        one = Truth(
            **{
                **truth.__dict__,
                "batch": {k: v[b : b + 1] for k, v in truth.batch.items()},
                "maps": truth.maps[b : b + 1],
                **{
                    k: getattr(truth, k)[b : b + 1]
                    for k in ("past", "past_exists", "states", "here", "scored", "vehicle", "window", "scenario")
                },
            }
        )
        assert np.array_equal(metric().sums(Forecast(states=forecast.states[b : b + 1]), one)[0], together[b])


def _agents(truth: Truth, order: torch.Tensor) -> Truth:
    return replace(
        truth,
        batch={k: v[:, order] for k, v in truth.batch.items()},
        past=truth.past[:, :, order],
        past_exists=truth.past_exists[:, :, order],
        states=truth.states[:, :, order],
        here=truth.here[:, :, order],
        scored=truth.scored[:, order],
        vehicle=truth.vehicle[:, order],
    )


def test_the_order_of_agents_and_of_futures_changes_nothing(metric: Make) -> None:
    forecast, truth = noisy()
    order = torch.tensor([2, 0, 3, 1])
    mixed = Forecast(states=forecast.states[:, [3, 1, 0, 2]][:, :, :, order])
    assert np.allclose(metric().sums(mixed, _agents(truth, order)), metric().sums(forecast, truth), atol=1e-9)


def test_padding_and_agents_that_enter_later_change_nothing(metric: Make) -> None:
    forecast, truth = noisy()
    before = metric().sums(forecast, truth)
    padded = _agents(truth, torch.tensor([0, 1, 2, 3, 0, 1]))
    padded.past[:, :, 4:], padded.states[:, :, 4] = 7e6, 7e6
    padded.past_exists[:, :, 4:], padded.scored[:, 4:], padded.here[:, :, 4] = False, False, False
    more = torch.cat([forecast.states, torch.full_like(forecast.states[..., :2, :], torch.nan)], dim=3)
    assert np.array_equal(metric().sums(Forecast(states=more), padded), before)


def test_what_a_future_says_after_an_agent_has_left_changes_nothing(metric: Make) -> None:
    forecast, truth = noisy()
    truth.here[:, 4:, 1] = False
    before = metric().sums(forecast, truth)
    forecast.states[:, :, 4:, 1] = torch.nan
    truth.states[:, 4:, 1] = 9e5
    assert np.array_equal(metric().sums(forecast, truth), before)


def test_moving_and_turning_everything_changes_next_to_nothing(metric: Make) -> None:
    forecast, truth = noisy()
    truth = replace(truth, maps=())
    before = score(metric(), forecast, truth)
    c, s = np.cos(2.0), np.sin(2.0)
    turn = torch.tensor([[c, s], [-s, c]], dtype=torch.float32)

    def moved(states: torch.Tensor) -> torch.Tensor:
        states = states.clone()
        states[..., :2] = states[..., :2] @ turn + torch.tensor([30.0, -200.0])
        states[..., 2] += 2.0
        return states

    after = score(metric(), Forecast(states=moved(forecast.states)), replace(truth, past=moved(truth.past), states=moved(truth.states)))
    assert after == pytest.approx(before, abs=2e-3, nan_ok=True)


def test_positions_alone_get_headings_from_their_motion(metric: Make) -> None:
    states = drive(torch.tensor([[0.0, 0.0], [30.0, 0.0]]), torch.tensor([10.0, 10.0]), heading=0.7)[None]
    truth = make_truth(states)
    given = score(metric(), as_forecast(copies(states)), truth)
    derived = score(metric(states=("x", "y")), Forecast(states=copies(states)[..., :2]), truth)
    assert derived == pytest.approx(given, abs=1e-4, nan_ok=True)


def test_agents_without_sizes_get_those_of_their_type(metric: Make) -> None:
    # Two pedestrians pass 0.8 m beside each other. Half a metre wide, as by default, they do not touch; a metre wide they do.
    states = drive(torch.tensor([[0.0, 0.0], [0.0, 0.8]]), torch.tensor([1.0, 1.0]))[None]
    states[..., 5:] = 0.0
    truth = make_truth(states)
    truth.batch["agents.type"][:] = 6
    assert score(metric(), as_forecast(copies(states)), truth)["collision_rate"] == 0.0
    assert score(metric(sizes={"pedestrian": (1.0, 1.0)}), as_forecast(copies(states)), truth)["collision_rate"] == 1.0


def test_a_window_that_scores_nobody_adds_nothing(metric: Make) -> None:
    forecast, truth = noisy()
    truth.scored[1] = False
    assert not metric().sums(forecast, truth)[1].any()
    assert np.isnan(metric().finish(np.zeros((3, metric().sums(forecast, truth).shape[1])))["realism"]).all()


def test_resamples_are_finished_at_once(metric: Make) -> None:
    forecast, truth = noisy(windows=3)
    rows = metric().sums(forecast, truth)
    both = metric().finish(np.stack([rows.sum(axis=0), rows[[0, 0, 2]].sum(axis=0)]))
    alone = metric().finish(rows[[0, 0, 2]].sum(axis=0))
    for name, values in both.items():
        assert values.shape == (2,)
        assert np.array_equal(values[1], alone[name], equal_nan=True)


def test_a_diverged_forecast_is_an_error(metric: Make) -> None:
    forecast, truth = noisy()
    forecast.states[0, 2, 3, 1, 0] = torch.inf
    with pytest.raises(DataError, match="window 0: the forecast of 1 agents is not a finite number"):
        metric().sums(forecast, truth)


def test_scores_have_the_names_that_the_config_tells(metric: Make) -> None:
    seen = traffic_observations(features=("x", "y", "heading", "vx", "vy"), dt=0.5, context=3, horizon=6, protocol="test")
    forecast, truth = noisy()
    told = [s.name for s in RealismConfig().scores(seen, 4)]
    assert told == list(score(metric(), forecast, truth))
    assert set(FEATURES) <= {n.removesuffix("_likelihood") for n in told}


def test_what_cannot_be_scored_is_refused() -> None:
    seen = traffic_observations(features=("x", "y", "heading", "vx", "vy"), dt=0.5, context=3, horizon=2, protocol="test")
    assert "at least 3 predicted steps" in str(RealismConfig().accepts(seen, ForecastSpec()))
    with pytest.raises(UsageError, match="sizes names spaceship"):
        RealismConfig(sizes={"spaceship": (1.0, 1.0)}).check()
    with pytest.raises(UsageError, match="size of car is not positive"):
        RealismConfig(sizes={"car": (0.0, 1.0)}).check()


def test_wasserstein_distance_of_two_shifted_distributions_is_the_shift() -> None:
    values = torch.linspace(1.0, 5.0, 2001, dtype=torch.float64)
    axis, weight = distance.Axis(20.0, 0.1), torch.ones(2001, dtype=torch.float64)
    one, other = distance.counts(values, weight, axis), distance.counts(values + 3.0, weight, axis)
    assert float(distance.wasserstein(one, other, axis)) == pytest.approx(3.0, abs=0.01)
    assert float(distance.mean(other)) == pytest.approx(6.0)
    assert np.isnan(distance.wasserstein(one, np.zeros_like(one), axis))


def test_the_distance_equals_that_of_sorted_samples() -> None:
    # For samples of one size it is the mean distance of the sorted values (quantile coupling).
    rng = np.random.default_rng(1)
    a, b = rng.gamma(2.0, 2.0, 500).clip(0, 30), rng.uniform(0.0, 12.0, 500)
    axis, weight = distance.Axis(30.0, 0.05), torch.ones(500, dtype=torch.float64)
    found = distance.wasserstein(*(distance.counts(torch.from_numpy(v), weight, axis) for v in (a, b)), axis)
    assert float(found) == pytest.approx(float(np.abs(np.sort(a) - np.sort(b)).mean()), abs=0.05)
