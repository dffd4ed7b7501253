"""The world of bouncing shapes: its steps against a scalar loop, touches against brute force, and what recorded episodes promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twm_shapes.config import ShapesConfig
from twm_shapes.world import DRAG, MAX_SPEED, RADII, SQUARES, THRUST, WIND, Episodes, advance, simulate, touches

WINDS = {1: (1, 0), 2: (0, 1), 3: (-1, 0), 4: (0, -1)}


def scalar_step(p: np.ndarray, v: np.ndarray, thrust: np.ndarray, phase: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """One step of one episode, written as plainly as can be."""
    p, v = p.copy(), v.copy()
    for k in range(len(p)):
        for axis in (0, 1):
            if k == 0:
                v[k, axis] += (THRUST * thrust[axis] + WIND * WINDS[phase][axis] - DRAG * v[k, axis]) * dt
        speed = math.hypot(*v[k])
        if speed > MAX_SPEED:
            v[k] *= MAX_SPEED / speed
        for axis in (0, 1):
            p[k, axis] += v[k, axis] * dt
            if p[k, axis] < RADII[k]:
                p[k, axis], v[k, axis] = 2 * RADII[k] - p[k, axis], -v[k, axis]
            elif p[k, axis] > 1 - RADII[k]:
                p[k, axis], v[k, axis] = 2 * (1 - RADII[k]) - p[k, axis], -v[k, axis]
    return p, v


@pytest.fixture(scope="module", params=["none", "continuous", "discrete"])
def recorded(request: pytest.FixtureRequest) -> tuple[ShapesConfig, Episodes]:
    config = ShapesConfig(actions=request.param, shapes=6)
    return config, simulate(config, split=0, episodes=20)


def test_a_step_equals_the_scalar_loop() -> None:
    random = np.random.default_rng(0)
    radius = np.array(RADII)
    p = radius[:, None] + (1 - 2 * radius[:, None]) * random.random((50, 6, 2))
    v = random.normal(size=(50, 6, 2))
    thrust, phase = random.uniform(-1, 1, (50, 2)), random.integers(1, 5, 50)
    after = advance(p, v, thrust, phase, radius, dt=0.2, push=np.zeros_like(v))
    for n in range(50):
        expected = scalar_step(p[n], v[n], thrust[n], int(phase[n]), 0.2)
        np.testing.assert_allclose(after[0][n], expected[0], rtol=1e-12)
        np.testing.assert_allclose(after[1][n], expected[1], rtol=1e-12)


def test_the_action_at_t_leads_to_t_plus_1(recorded: tuple[ShapesConfig, Episodes]) -> None:
    config, episodes = recorded
    moves = {0: (0, 0), 1: (1, 0), 2: (0, 1), 3: (-1, 0), 4: (0, -1)}
    for n in range(5):
        for t in range(int(episodes.length[n]) - 1):
            thrust = np.zeros(2)
            if episodes.action is not None:
                action = episodes.action[n, t]
                thrust = action if config.actions == "continuous" else np.array(moves[int(action.argmax())], dtype=float)
            p, v = scalar_step(episodes.position[n, t], episodes.velocity[n, t], thrust, int(episodes.phase[n, t]), config.dt)
            np.testing.assert_allclose(episodes.position[n, t + 1], p, rtol=1e-9)
            np.testing.assert_allclose(episodes.velocity[n, t + 1], v, rtol=1e-9, atol=1e-12)


def test_touches_equal_a_brute_force_search_for_a_common_point() -> None:
    random = np.random.default_rng(1)
    position = random.random((300, 6, 2)) * 0.4
    found = touches(position, np.array(RADII))
    angle = np.linspace(0, 2 * np.pi, 721)
    # Points on the edge of the steered disc and its centre: one of them lies in the other shape if they touch.
    unit = np.concatenate([np.stack([np.cos(angle), np.sin(angle)], -1) * r for r in np.linspace(0, 1, 41)])
    for k in range(1, 6):
        offset = np.abs(position[:, None, 0] + RADII[0] * unit - position[:, None, k])
        inside = offset.max(-1) < RADII[k] if SQUARES[k] else np.linalg.norm(offset, axis=-1) < RADII[k]
        assert 0.02 < inside.any(1).mean() < 0.98
        assert (inside.any(1) != found[:, k - 1]).mean() < 0.01  # points are 0.5 degrees apart


def test_rewards_are_touches_and_a_catch_ends_the_episode(recorded: tuple[ShapesConfig, Episodes]) -> None:
    config, episodes = recorded
    assert 0 < episodes.caught.sum() <= 20
    for n in range(20):
        length = int(episodes.length[n])
        touching = touches(episodes.position[n, :length], np.array(RADII))
        assert not touching[:-1, 0].any()
        assert touching[-1, 0] == episodes.caught[n]
        assert episodes.caught[n] or length == config.episode_steps
        for t in range(length):
            begun = [k for k in range(1, 5) if touching[t, k] and (t == 0 or not touching[t - 1, k])]
            assert episodes.reward[n, t] == float(touching[t, 0]) - len(begun)


def test_shapes_stay_in_the_box_and_actions_in_their_range(recorded: tuple[ShapesConfig, Episodes]) -> None:
    config, episodes = recorded
    radius = np.array(RADII)[:, None]
    assert (episodes.position >= radius).all()
    assert (episodes.position <= 1 - radius).all()
    assert set(np.unique(episodes.phase)) == {1, 2, 3, 4}
    if config.actions == "none":
        assert episodes.action is None
        return
    assert episodes.action is not None
    if config.actions == "continuous":
        assert np.abs(episodes.action).max() == 1
        assert episodes.action.shape[-1] == 2
    else:
        assert (episodes.action.sum(-1) == 1).all()
        assert (episodes.action.any(axis=(0, 1))).all()
        assert episodes.action.shape[-1] == 5


def test_the_past_does_not_depend_on_how_long_an_episode_may_last_nor_on_how_many_there_are() -> None:
    short = simulate(ShapesConfig(episode_steps=40, noise=0.2), split=1, episodes=4)
    long = simulate(ShapesConfig(episode_steps=90, noise=0.2), split=1, episodes=9)
    np.testing.assert_array_equal(short.position, long.position[:4, :40])
    np.testing.assert_array_equal(short.reward, long.reward[:4, :40])
    assert short.action is not None
    assert long.action is not None
    np.testing.assert_array_equal(short.action, long.action[:4, :40])


def test_noise_seed_and_split_change_the_episodes_and_nothing_else_does() -> None:
    def made(split: int = 0, **options: float) -> np.ndarray:
        return simulate(ShapesConfig.model_validate({"episode_steps": 40, **options}), split=split, episodes=2).velocity

    np.testing.assert_array_equal(made(), made())
    for other in (made(noise=0.1), made(seed=1), made(split=1)):
        assert not np.array_equal(made(), other)
    change = made(noise=0.1)[:, 1, 1] - made()[:, 1, 1]
    assert np.abs(change).max() < 0.1 * math.sqrt(0.1) * 5
