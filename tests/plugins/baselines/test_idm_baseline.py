"""The driver model against its equilibrium and a fine integration; leaders, ways and fits on scenes whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from baseline_scenes import FEATURES, LANES_ONLY, Given, forecast, forecaster, scene, spec
from hypothesis import given
from hypothesis import strategies as st

from twm_baselines.car_following import HARDEST, Parameters, Traffic, acceleration, roll
from twm_baselines.driver_fit import Travelled, fit_parameters, squared_errors
from twm_baselines.lane_path import LanePath, lane_path_of
from twm_baselines.leaders import find_leaders
from twm_baselines.observed import observe
from twm_core.errors import DataError, UsageError

OBS_SPEC, LANES = spec(), spec(LANES_ONLY)
P = Parameters(desired_speed=30.0, compliance=1.1, headway=1.2, standstill=2.0, acceleration=1.5, braking=2.0)
DRIVERS = {n: getattr(P, n) for n in ("desired_speed", "compliance", "headway", "standstill", "acceleration", "braking")}


def number(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64)


def traffic(speed, leads, gap, *, dt=0.5, leader_speed=None, driven=None, followed=None, limit=None) -> Traffic:
    """One scene in double precision."""

    def row(values, default):
        return torch.tensor([values if values is not None else [default] * len(speed)], dtype=torch.float64)

    return Traffic(
        speed=row(speed, 0),
        limit=row(limit, 0.0),
        driven=torch.tensor([driven or [True] * len(speed)]),
        leads=torch.tensor([leads]),
        followed=torch.tensor([[i >= 0 for i in leads] if followed is None else followed]),
        gap=row(gap, 0),
        leader_speed=row(leader_speed, 0.0),
        dt=torch.tensor([dt], dtype=torch.float64),
    )


@given(st.floats(0, 29))
def test_at_the_equilibrium_gap_nobody_accelerates(v: float) -> None:
    # dv/dt = 0 and dv = 0: s = (s0 + v T) / sqrt(1 - (v / v0)^4).
    gap = (2.0 + 1.2 * v) / math.sqrt(1 - (v / 30) ** 4)
    assert float(acceleration(number(v), number(30), number(gap), number(0), torch.tensor([True]), P)) == pytest.approx(0, abs=1e-9)


def test_golden_accelerations() -> None:
    free, led = torch.tensor([False]), torch.tensor([True])
    # From rest on an empty road: a.
    assert float(acceleration(number(0), number(30), number(1), number(0), free, P)) == 1.5
    # v = 20, 10 m/s faster than the leader 50 m ahead: s* = 2 + 24 + 200 / (2 sqrt 3) = 83.735; 1.5 (1 - (2/3)^4 - (83.735 / 50)^2).
    wanted = 1.5 * (1 - (2 / 3) ** 4 - ((26 + 200 / (2 * math.sqrt(3))) / 50) ** 2)
    assert float(acceleration(number(20), number(30), number(50), number(10), led, P)) == pytest.approx(wanted)
    # Twice the desired speed: the plain model would brake with 22.5 m/s^2; nobody does so for a wish.
    assert float(acceleration(number(60), number(30), number(1), number(0), free, P)) == -2.0
    assert float(acceleration(number(20), number(30), number(0.0), number(5), led, P)) == -HARDEST


def test_a_platoon_rolled_together_is_that_of_a_fine_integration() -> None:
    # Three cars behind a fourth that is no agent and drives 8 m/s; a NumPy loop with steps of 0.5 ms and Euler's rule.
    start, gaps = [20.0, 18.0, 22.0], [30.0, 15.0, 25.0]
    travelled, speed = roll(traffic(start, [-1, 0, 1], gaps, leader_speed=[8.0, 0.0, 0.0], followed=[True] * 3), P, 20)
    v, s, lead, h = np.asarray(start), np.zeros(3), 0.0, 5e-4
    wanted = []
    for k in range(1, 20_001):
        ahead, ahead_v = np.asarray([lead, s[0], s[1]]), np.asarray([8.0, v[0], v[1]])
        gap = np.asarray(gaps) + ahead - s
        star = 2 + np.maximum(0, v * 1.2 + v * (v - ahead_v) / (2 * math.sqrt(3)))
        s, lead = s + v * h, lead + 8.0 * h
        v = np.maximum(0, v + h * np.maximum(-HARDEST, 1.5 * (1 - (v / 30) ** 4) - 1.5 * (star / gap) ** 2))
        if k % 1000 == 0:
            wanted.append(s.copy())
    np.testing.assert_allclose(travelled[0].numpy(), np.asarray(wanted), atol=0.3)
    np.testing.assert_allclose(speed[0, -1].numpy(), v, atol=0.1)


def test_a_queue_stops_behind_what_stands_and_nobody_goes_backwards() -> None:
    scene_ = traffic(
        [15.0, 15.0, 0.0],
        [-1, 0, -1],
        [60.0, 20.0, 0.0],
        leader_speed=[0.0, 0.0, 0.0],
        followed=[True, True, False],
        dt=0.2,
        driven=[True, True, False],
    )
    travelled, _ = roll(scene_, P, 200)
    assert bool((travelled.diff(dim=1) >= 0).all())
    gaps = torch.stack([60 - travelled[0, :, 0], 20 + travelled[0, :, 0] - travelled[0, :, 1]])
    assert float(gaps.min()) > 0
    # The model creeps up to s0 = 2 m; after 40 s it is a little farther.
    assert bool(((gaps[:, -1] > 1.9) & (gaps[:, -1] < 3.5)).all())
    assert bool((travelled[..., 2] == 0).all())


def test_who_is_alone_goes_for_the_speed_limit_and_keeps_a_higher_speed() -> None:
    _, speed = roll(traffic([5.0, 25.0], [-1, -1], [0.0, 0.0], limit=[20.0, 20.0]), P, 200)
    # 1.1 x 20 m/s, approached from below; 25 m/s is what the other one wants, as it drives so already.
    torch.testing.assert_close(speed[0, -1], torch.tensor([22.0, 25.0], dtype=torch.float64), atol=0.05, rtol=0)


def car(x: float, y: float = 0.0, speed: float = 10.0, heading: float = 0.0, **more: float):
    v = {"vx": speed * math.cos(heading), "vy": speed * math.sin(heading)}
    return [None, None, {"x": x, "y": y, "heading": heading, "length": 4.0, **v, **more}]


def test_a_way_turns_as_its_lane_does() -> None:
    # pi/2 over the first 20 m: radius 40 / pi, so after 20 m at (r, r), going along +y; then straight, as 50 m turn by pi/2 too.
    seen, r = LANES, 40 / math.pi
    batch = scene(seen, car(0.0, heading=0.1, lane_angle=0.1, lane_known=1, lane_turn_20=math.pi / 2, lane_turn_50=math.pi / 2))
    path = lane_path_of(observe(batch).last, seen)
    for s, wanted in (
        (20.0, (r, r, math.pi / 2)),
        (27.0, (r, r + 7, math.pi / 2)),
        (60.0, (r, r + 40, math.pi / 2)),
        (-3.0, (-3.0, 0.0, 0.0)),
    ):
        found = torch.stack(path.at(torch.tensor([[s]]))).flatten()
        torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-4, rtol=1e-5)


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(0, 70))
def test_a_way_is_the_integral_of_its_direction(near: float, far: float, s: float) -> None:
    zero = torch.zeros(1, 1, dtype=torch.float64)
    path = LanePath(zero, zero, zero + 0.3, zero + near / 20, zero + (far - near) / 30)
    x, y, direction = (float(v) for v in path.at(zero + s))
    u = (np.arange(20_000) + 0.5) * s / 20_000
    angle = 0.3 + near * np.clip(u / 20, 0, 1) + (far - near) * np.clip((u - 20) / 30, 0, 1)
    assert (x, y) == pytest.approx((float(np.cos(angle).mean() * s), float(np.sin(angle).mean() * s)), abs=1e-5)
    assert direction == pytest.approx(0.3 + near * min(s / 20, 1) + (far - near) * min(max(s - 20, 0) / 30, 1))


def leaders(seen, *agents):
    found = observe(scene(seen, *agents))
    return find_leaders(found.last, found.exists[:, -1], lane_path_of(found.last, seen), seen)


def test_the_leader_is_the_nearest_on_the_way_in_the_same_direction() -> None:
    found = leaders(
        LANES, car(0), car(30), car(20, 1.0), car(10, 4.0), car(15, 0.5, heading=math.pi), car(-5), [{"x": 2, "length": 4}, None, None]
    )
    assert found.leads[0].tolist() == [2, -1, 1, -1, -1, 0, -1]
    assert float(found.distance[0, 0]) == pytest.approx(math.hypot(20, 1))


def test_round_a_bend_the_leader_is_the_one_on_the_lane_not_the_one_straight_ahead() -> None:
    r = 40 / math.pi
    bend = {"lane_known": 1, "lane_turn_20": math.pi / 2, "lane_turn_50": math.pi / 2}
    found = leaders(LANES, car(0, **bend), car(r, r, heading=math.pi / 2), car(25, 0))
    assert found.leads[0, 0] == 1
    # A quarter of the circle, not its chord.
    assert float(found.distance[0, 0]) == pytest.approx(20, abs=0.1)


def test_a_leader_that_the_data_tells_is_found_in_the_scene_or_kept_at_its_speed() -> None:
    told = {"leader_known": 1, "leader_gap": 20, "leader_offset": 2.5, "leader_speed": -4}
    found = leaders(OBS_SPEC, car(0, **told), car(20, 2.5), car(8))
    assert (int(found.leads[0, 0]), bool(found.followed[0, 0]), float(found.distance[0, 0])) == (1, True, 20.0)
    found = leaders(OBS_SPEC, car(0, **told), car(40))
    assert (int(found.leads[0, 0]), bool(found.followed[0, 0]), float(found.speed[0, 0])) == (-1, True, 6.0)


def test_forecasts_drive_along_the_lane_and_others_keep_their_velocity() -> None:
    batch = scene(LANES, car(0, speed=10.0), car(30, speed=0.0), car(5, 50, speed=1.5), types=("car", "car", "pedestrian"), dt=0.1)
    out = forecast("idm", LANES, batch, steps=100, **DRIVERS).states[0, 0]
    # The car in front pulls away from rest, the one behind never touches it; a pedestrian walks on.
    assert bool((out[:, 1, 0] - out[:, 0, 0] > 4.0).all())
    assert float(out[-1, 1, 3]) > 8.0
    torch.testing.assert_close(out[:, 2, 0], 5 + 0.15 * torch.arange(1, 101), atol=1e-3, rtol=1e-5)
    assert out[..., 1].eq(torch.tensor([0.0, 0.0, 50.0])).all()


def test_a_leader_that_is_no_vehicle_is_followed_at_its_constant_speed() -> None:
    batch = scene(LANES, car(0, speed=10.0), car(30, speed=4.0), types=("car", "bicycle"), dt=0.2)
    out = forecast("idm", LANES, batch, steps=200, **DRIVERS).states[0, 0]
    torch.testing.assert_close(out[:, 1, 0], 30 + 0.8 * torch.arange(1, 201), atol=1e-2, rtol=1e-5)
    assert float(out[-1, 0, 3]) == pytest.approx(4.0, abs=0.1)
    # Equilibrium: (s0 + v T) / sqrt(1 - (v / v0)^4) and a car's length from centre to centre.
    assert float(out[-1, 1, 0] - out[-1, 0, 0]) == pytest.approx((2 + 4.8) / math.sqrt(1 - (4 / 30) ** 4) + 4, abs=0.2)


def test_who_rolls_backwards_keeps_doing_so() -> None:
    out = forecast("idm", LANES, scene(LANES, car(0, speed=-2.0)), **DRIVERS).states[0, 0]
    torch.testing.assert_close(out[:, 0, 0], torch.tensor([-1.0, -2.0, -3.0, -4.0]))


def test_the_fit_finds_drivers_that_explain_simulated_traffic() -> None:
    random = np.random.default_rng(0)
    true = Parameters(desired_speed=25.0, headway=0.9, standstill=3.0, acceleration=1.8, braking=1.2)
    scenes = [traffic(random.uniform(2, 24, 4).tolist(), [-1, 0, 1, 2], random.uniform(5, 40, 4).tolist(), dt=0.4) for _ in range(30)]
    state = Traffic(*(torch.cat(column) for column in zip(*scenes, strict=True)))
    distance, _ = roll(state, true, 15)
    parts = [Travelled(state, distance, torch.ones_like(distance, dtype=torch.bool))]
    assert squared_errors(parts, [true]) == [0]
    found = fit_parameters(parts, given={})
    # 15 cm after 6 s, against metres before fitting; there is no limit, so its factor stays.
    one, other = squared_errors(parts, [found, Parameters()])
    assert math.sqrt(one) < 0.15 < 2 < math.sqrt(other)
    assert found.compliance == Parameters().compliance
    assert (found.headway, found.desired_speed) == (pytest.approx(0.9, rel=0.1), pytest.approx(25, rel=0.1))
    assert fit_parameters(parts, given={"headway": 1.5}).headway == 1.5


def test_fitting_on_windows_counts_vehicles_until_their_first_gap() -> None:
    # 10 m/s for 4 steps of 0.5 s; the second one is away at the second predicted step and comes back 100 m farther on.
    steady = [{"x": 5.0 * t, "vx": 10, "length": 4} for t in range(7)]
    gone = [{**s, "y": 50.0} for s in steady]
    gone[4] = None
    gone[5:] = [{**s, "x": s["x"] + 100} for s in gone[5:]]
    who = forecaster("idm", LANES)
    part = who._travelled(scene(LANES, steady, gone))
    torch.testing.assert_close(part.distance[0, :, 0], torch.tensor([5.0, 10.0, 15.0, 20.0]))
    assert part.counted[0].T.tolist() == [[True] * 4, [True, False, False, False]]
    who.fit(Given(scene(LANES, steady, gone)))
    assert who.parameters is not None


def test_unfitted_and_without_vehicles_it_says_what_to_do() -> None:
    with pytest.raises(UsageError, match="has learned no drivers yet") as unfitted:
        forecast("idm", LANES, scene(LANES, car(0)), headway=1.0)
    assert "call fit" in str(unfitted.value.hint)
    walker = [{"x": float(t), "length": 0.5} for t in range(7)]
    with pytest.raises(DataError, match="no vehicle drives on"):
        forecaster("idm", LANES).fit(Given(scene(LANES, walker, types=("pedestrian",))))
    with pytest.raises(UsageError, match="no predicted steps"):
        forecaster("idm", spec(LANES_ONLY, horizon=0)).fit(Given(scene(LANES, walker)))
    assert set(LANES_ONLY) < set(FEATURES)
