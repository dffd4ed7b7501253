"""Misses, RMSE, moving agents, angles, accelerations, collisions and presence, each against a case that was worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metric_cases import futures, metric, one, path, scores_of, truth_of

from twm_core.evaluation.forecast import Forecast

STATES = ("x", "y", "heading", "vx", "vy")


@pytest.mark.parametrize(("radius", "rate"), [(1.9, 1.0), (2.0, 0.0), (2.1, 0.0)])
def test_an_agent_is_missed_where_no_future_ends_within_the_radius(radius: float, rate: float) -> None:
    guess = futures([[0.0, 0.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 3.0]])  # ends 2 m and 3 m from the truth
    truth = truth_of(path([9.0, 9.0], [0.0, 0.0]), *one(2))
    assert scores_of(metric("miss-rate", 2, radius=radius), Forecast(states=guess), truth) == {"miss_rate": rate}


def test_who_is_gone_at_the_end_is_neither_hit_nor_missed() -> None:
    truth = truth_of(path([0.0, 0.0], [0.0, 0.0]), *one(2, True, False))
    assert math.isnan(scores_of(metric("miss-rate", 2), Forecast(states=futures([[9.0, 0.0]] * 2)), truth)["miss_rate"])


def test_rmse_is_the_root_of_the_pooled_squares() -> None:
    # Two agents, means 3 m and 4 m off at the end: sqrt((9 + 16) / 2). One step earlier both are exact.
    guess = torch.zeros(1, 2, 2, 2, 2)
    guess[0, :, 1, 0, 0] = torch.tensor([2.0, 4.0])
    guess[0, :, 1, 1, 1] = 4.0
    truth = truth_of(torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2).bool(), torch.ones(1, 2).bool())
    scores = scores_of(metric("rmse", 2), Forecast(states=guess), truth)
    assert scores == {"rmse@1s": 0.0, "rmse@2s": pytest.approx(math.sqrt(12.5))}


def test_only_agents_that_move_count_as_moving() -> None:
    # Agent 0 goes 1 m/s and the forecast stands: off by 1 and 2 m at the last two of three steps. Agent 1 is parked and missed by 10 m.
    true = torch.zeros(1, 3, 2, 2)
    true[0, :, 0, 0] = torch.tensor([0.0, 1.0, 2.0])
    guess = torch.zeros(1, 1, 3, 2, 2)
    guess[..., 1, :] = 10.0
    truth = truth_of(true, torch.ones(1, 3, 2).bool(), torch.ones(1, 2).bool())
    assert scores_of(metric("moving", 3), Forecast(states=guess), truth) == {"moving_ade": 1.0, "moving_minade": 1.0, "moving_share": 0.5}


def test_angles_differ_the_short_way_round_and_futures_count_by_probability() -> None:
    # True heading 3.1, forecasts -3.1 (0.0832 away) and 3.1 (exact), with probabilities 3/4 and 1/4. Both drive north, the truth east.
    apart = 2 * math.pi - 6.2
    guess = futures([[0.0, 0.0, -3.1, 0.0, 1.0]], [[0.0, 0.0, 3.1, 0.0, 1.0]])
    truth = truth_of(path([0.0, 0.0, 3.1, 1.0, 0.0]), *one(1), features=STATES)
    made = metric("heading", 1, states=STATES)
    scores = scores_of(made, Forecast(states=guess, weights=torch.tensor([0.75, 0.25])[None, :, None]), truth)
    assert scores == {"heading_error": pytest.approx(0.75 * apart, rel=1e-5), "direction_error": pytest.approx(math.pi / 2)}


def test_standing_agents_have_no_direction() -> None:
    truth = truth_of(path([0.0, 0.0, 0.0, 0.1, 0.0]), *one(1), features=STATES)
    scores = scores_of(metric("heading", 1, states=STATES), Forecast(states=futures([[0.0, 0.0, 0.0, 0.0, 1.0]])), truth)
    assert scores["heading_error"] == 0
    assert math.isnan(scores["direction_error"])


def test_accelerations_are_second_differences() -> None:
    # x = 0, 1, 4 every half second: (4 - 2 + 0) / 0.25 = 8 m/s2. The log goes at constant speed.
    guess, log = futures([[0.0, 0.0], [1.0, 0.0], [4.0, 0.0]]), path([0.0, 0.0], [1.0, 0.0], [2.0, 0.0])
    scores = scores_of(metric("acceleration", 3, dt=0.5), Forecast(states=guess), truth_of(log, *one(3), dt=0.5))
    assert scores == {"acceleration_error": 8.0, "acceleration": 8.0, "acceleration_log": 0.0}


def test_a_step_that_is_missing_has_no_acceleration_on_either_side() -> None:
    truth = truth_of(torch.zeros(1, 5, 1, 2), *one(5, True, True, False, True, True))
    assert math.isnan(scores_of(metric("acceleration", 5), Forecast(states=torch.randn(1, 1, 5, 1, 2)), truth)["acceleration_error"])


def pair(gap: float, *, there: bool = True, length: float | None = None) -> tuple[Forecast, object]:
    """Two agents side by side along x; in future 0 they come as near as `gap`, in future 1 they stay 50 m apart, as in the log."""
    features = ("x", "y", "heading", "length", "width")
    true = torch.zeros(1, 2, 2, 5)
    true[..., 1, 0] = 50.0
    true[..., 3:] = torch.tensor([length or 0.0, 2.0 if length else 0.0])
    guess = true[:, None, ..., :3].repeat(1, 2, 1, 1, 1)
    guess[0, 0, 1, 1, 0] = gap
    here = torch.tensor([[True, True], [True, there]])[None]
    truth = truth_of(true, here, torch.ones(1, 2).bool(), past=true[:, :1], features=features)
    return Forecast(states=guess), truth


@pytest.mark.parametrize(
    ("gap", "length", "rate"),
    [(3.9, 4.0, 0.5), (4.1, 4.0, 0.0), (0.19, None, 0.5), (0.21, None, 0.0)],  # boxes 4 m long; discs of 0.1 m where nobody has a size
)
def test_agents_collide_in_the_futures_in_which_they_touch(gap: float, length: float | None, rate: float) -> None:
    forecast, truth = pair(gap, length=length)
    made = metric("collision", 2, states=("x", "y", "heading"))
    assert scores_of(made, forecast, truth) == {"collision_rate": rate, "collision_rate_log": 0.0}


def test_turned_boxes_touch_where_unturned_ones_do_not() -> None:
    forecast, truth = pair(3.9, length=4.0)
    forecast.states[0, 0, 1, :, 0] = torch.tensor([0.0, 0.0])
    forecast.states[0, 0, 1, :, 1] = torch.tensor([0.0, 3.0])  # 3 m aside: two metres wide each, so one metre apart
    made = metric("collision", 2, states=("x", "y", "heading"))
    assert scores_of(made, forecast, truth)["collision_rate"] == 0
    forecast.states[0, 0, 1, 1, 2] = math.pi / 2  # across: it reaches two metres to its side
    assert scores_of(made, forecast, truth)["collision_rate"] == 0.5


def test_who_has_left_collides_with_nobody() -> None:
    forecast, truth = pair(0.0, there=False, length=4.0)
    assert scores_of(metric("collision", 2, states=("x", "y", "heading")), forecast, truth)["collision_rate"] == 0


def test_collisions_of_the_log_are_counted_beside() -> None:
    forecast, truth = pair(50.0, length=4.0)
    truth.states[..., 1, 0] = 1.0
    found = scores_of(metric("collision", 2, states=("x", "y", "heading")), forecast, truth)
    assert found == {"collision_rate": 0.0, "collision_rate_log": 1.0}


def test_positions_alone_turn_as_their_track_does() -> None:
    forecast, truth = pair(3.9, length=4.0)
    forecast = Forecast(states=forecast.states[..., :2])
    assert scores_of(metric("collision", 2), forecast, truth)["collision_rate"] == 0.5


def test_exits_and_counts_by_hand() -> None:
    # Two agents, four steps of half a second. Agent 0 leaves after 2 steps and is said to leave after 3; agent 1 stays and is said to.
    here = torch.ones(1, 4, 2).bool()
    here[0, 2:, 0] = False
    said = torch.ones(1, 1, 4, 2)
    said[0, 0, 3, 0] = 0.4
    truth = truth_of(torch.zeros(1, 4, 2, 2), here, torch.ones(1, 2).bool(), dt=0.5)
    scores = scores_of(metric("presence", 4), Forecast(states=torch.zeros(1, 1, 4, 2, 2), exists=said), truth)
    # Counts: 2 - 2, 2 - 2, 2 - 1, 1.4 - 1. Exits: one step late of 0.5 s, and exact.
    assert scores == {"count_error": pytest.approx(1.4 / 4), "exit_error": 0.25}


@given(st.integers(0, 10**6))
def test_more_futures_never_raise_the_miss_rate(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    guess, true = 3 * torch.randn(2, 5, 3, 4, 2, generator=g), torch.randn(2, 3, 4, 2, generator=g)
    truth = truth_of(true, torch.rand(2, 3, 4, generator=g) < 0.8, torch.ones(2, 4).bool())
    made = metric("miss-rate", 3)
    rates = [scores_of(made, Forecast(states=guess[:, :k]), truth)["miss_rate"] for k in range(1, 6)]
    assert all(math.isnan(a) or a >= b for a, b in itertools.pairwise(rates))
