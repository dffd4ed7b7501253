"""Car following and lane-change rules against closed forms and a scalar loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twm_highway.drivers import (
    CHANGE_THRESHOLD,
    draw_drivers,
    free_acceleration,
    interaction,
    mobil_gain,
    mobil_safe,
)


def scalar_idm(v: float, v0: float, a: float, b: float, headway: float, s0: float, gap: float, closing: float) -> float:
    free = a * (1 - (v / v0) ** 4) if v <= v0 else -b * (1 - (v0 / v) ** 2)
    wanted = s0 + max(0.0, v * headway + v * closing / (2 * math.sqrt(a * b)))
    return free - a * (wanted / max(gap, 0.1)) ** 2


def test_idm_equals_a_scalar_loop_over_vehicles() -> None:
    rng = np.random.default_rng(5)
    v, v0, a, b = rng.uniform(0, 40, 200), rng.uniform(10, 40, 200), rng.uniform(0.5, 2, 200), rng.uniform(1, 3, 200)
    headway, s0, gap, closing = rng.uniform(0.6, 2, 200), rng.uniform(1, 4, 200), rng.uniform(0, 150, 200), rng.uniform(-10, 10, 200)
    got = free_acceleration(v, v0, a, b) - interaction(v, headway, s0, a, b, gap, closing)
    want = [scalar_idm(*row) for row in zip(v, v0, a, b, headway, s0, gap, closing, strict=True)]
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("v", [2.0, 10.0, 20.0, 29.0])
def test_idm_neither_accelerates_nor_brakes_at_the_equilibrium_gap(v: float) -> None:
    # s_e(v) = (s0 + v T) / sqrt(1 - (v / v0)^4): Treiber, Hennecke, Helbing 2000, eq. 5.
    v0, a, b, headway, s0 = 30.0, 1.4, 2.0, 1.2, 2.0
    gap = (s0 + v * headway) / math.sqrt(1 - (v / v0) ** 4)
    arrays = [np.array([x]) for x in (v, headway, s0, a, b, gap, 0.0)]
    got = free_acceleration(np.array([v]), np.array([v0]), np.array([a]), np.array([b])) - interaction(*arrays)
    assert abs(float(got[0])) < 1e-12


def test_a_driver_above_the_desired_speed_never_brakes_harder_than_comfortable() -> None:
    v = np.linspace(20.0, 60.0, 50)
    got = free_acceleration(v, np.full(50, 20.0), np.full(50, 1.5), np.full(50, 2.0))
    assert got[0] == 0.0
    assert (np.diff(got) < 0).all()
    assert got.min() > -2.0


def test_mobil_weighs_the_followers_by_politeness() -> None:
    # Own gain 0.5; the new follower loses 1.0, the old one gains 0.4: selfish drivers change, polite ones (p = 0.6) do not.
    gain = mobil_gain(np.full(2, 0.5), np.full(2, -1.0), np.full(2, 0.4), np.array([0.0, 0.6]))
    np.testing.assert_allclose(gain, [0.5, 0.14])
    assert (gain > CHANGE_THRESHOLD).tolist() == [True, False]


def test_mobil_refuses_closed_gaps_and_hard_braking() -> None:
    own, follower = np.array([0.0, 0.0, 0.0, -3.0, 0.0]), np.array([0.0, -1.9, -2.1, 0.0, 0.0])
    ahead, behind = np.array([9.0, 9.0, 9.0, 9.0, 9.0]), np.array([9.0, 9.0, 9.0, 9.0, -0.5])
    assert mobil_safe(own, follower, ahead, behind, np.full(5, 2.0)).tolist() == [True, True, False, False, False]


def test_trucks_are_longer_slower_and_lazier_than_cars() -> None:
    drivers = draw_drivers(np.random.default_rng(0), 2000, trucks=0.5, faster=0.0)
    truck = drivers.truck
    assert 0.45 < truck.mean() < 0.55
    assert drivers.length[truck].min() > drivers.length[~truck].max()
    assert drivers.top[truck].max() < drivers.top[~truck].min()
    assert drivers.accel[truck].mean() < drivers.accel[~truck].mean()
    assert np.std(drivers.headway[~truck]) > 0.1
