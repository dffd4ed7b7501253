"""Leaders against a scene made by hand and a plain search over all pairs."""

from __future__ import annotations

import math

import numpy as np

from twm_core.data.leaders import HALF_WIDTH, REACH, find_leaders


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
