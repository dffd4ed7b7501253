"""Leaders against a scene made by hand and a plain search over all pairs."""

from __future__ import annotations

import math

import numpy as np

from twm_core.data.features.leaders import HALF_WIDTH, REACH, find_leaders, in_corridor, relative


def test_the_nearest_agent_in_front_in_the_own_lane_is_the_leader() -> None:
    # 0 drives along x; 1 is 20 m ahead and slower, 2 is 10 m ahead one lane over, 3 is behind, 4 comes towards it, 5 is out of reach.
    xy = np.array([[0.0, 0.0], [20.0, 0.5], [10.0, 3.5], [-8.0, 0.0], [15.0, 0.0], [REACH + 1, 0.0]])
    heading = np.array([0.0, 0.0, 0.0, 0.0, math.pi, 0.0])
    velocity = np.stack([np.array([10.0, 7.0, 9.0, 12.0, 8.0, 5.0]) * np.cos(heading), np.zeros(6)], axis=1)
    found = find_leaders(np.zeros(6, dtype=np.int64), xy, heading, velocity)
    assert (found.gap[0], found.speed[0], found.known[0]) == (20.0, -3.0, 1.0)
    assert (found.gap[3], found.speed[3]) == (8.0, -2.0)
    assert (found.gap[2], found.speed[2], found.known[2]) == (0.0, 0.0, 0.0)


def test_leaders_equal_a_plain_search_and_never_come_from_another_step() -> None:
    rng = np.random.default_rng(0)
    rows = 60
    step = rng.integers(0, 4, rows)
    xy, heading, velocity = rng.uniform(-30, 30, (rows, 2)), rng.uniform(-4, 4, rows), rng.normal(0, 5, (rows, 2))
    found = find_leaders(step, xy, heading, velocity)
    for i in range(rows):
        best = (math.inf, 0.0)
        c, s = math.cos(heading[i]), math.sin(heading[i])
        for j in range(rows):
            dx, dy = xy[j] - xy[i]
            ahead, aside = dx * c + dy * s, dy * c - dx * s
            if step[j] == step[i] and 0 < ahead <= REACH and abs(aside) <= HALF_WIDTH and math.cos(heading[j] - heading[i]) >= 0.5:
                dv = velocity[j] - velocity[i]
                best = min(best, (ahead, float(dv[0] * c + dv[1] * s)))
        assert found.known[i] == math.isfinite(best[0])
        if math.isfinite(best[0]):
            np.testing.assert_allclose((found.gap[i], found.speed[i]), best, atol=1e-9)


def test_the_nearest_agent_behind_is_the_follower_and_only_wanted_rows_are_looked_at() -> None:
    xy = np.array([[0.0, 0.0], [20.0, 0.5], [-8.0, 0.0], [-5.0, 2.5], [-30.0, 0.0]])
    step, heading = np.zeros(5, dtype=np.int64), np.zeros(5)
    found = in_corridor(step, xy, heading)
    assert found.follower.tolist() == [2, 0, 4, -1, -1]
    assert found.leader.tolist() == [1, -1, 0, -1, 2]
    np.testing.assert_allclose(found.behind, [8, 20, 22, 0, 0])
    some = in_corridor(step, xy, heading, np.array([True, False, True, False, False]))
    assert some.follower.tolist() == [2, -1, 4, -1, -1]


def test_the_neighbours_of_a_step_do_not_depend_on_other_steps() -> None:
    rng = np.random.default_rng(1)
    count = rng.integers(0, 9, 200)
    step = rng.permutation(np.repeat(np.arange(200), count))
    xy, heading = rng.uniform(-30, 30, (len(step), 2)), rng.uniform(-1, 1, len(step))
    found = in_corridor(step, xy, heading)
    for t in range(200):
        rows = np.flatnonzero(step == t)
        alone = in_corridor(step[rows], xy[rows], heading[rows])
        for whole, part in ((found.leader, alone.leader), (found.follower, alone.follower)):
            assert whole[rows].tolist() == [-1 if j < 0 else rows[j] for j in part]


def test_another_agent_is_seen_in_the_own_frame() -> None:
    # The own agent looks along +y; the other is 3 m ahead of it and 4 m to its left, and comes closer by 1 m/s.
    xy, heading = np.array([[1.0, 1.0], [-3.0, 4.0]]), np.array([math.pi / 2, 0.0])
    velocity = np.array([[0.0, 2.0], [0.5, 1.0]])
    seen = relative(np.array([1, -1]), xy, heading, velocity)
    np.testing.assert_allclose([seen.ahead[0], seen.left[0], seen.ahead_speed[0], seen.left_speed[0]], [3, 4, -1, -0.5], atol=1e-12)
    assert (seen.ahead[1], seen.left[1], seen.ahead_speed[1], seen.left_speed[1]) == (0, 0, 0, 0)
