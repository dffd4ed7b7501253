"""The world: K shapes in the box [0,1] x [0,1], the first of which is steered; all episodes of a split advance together.

    a_0  = thrust * u + wind(phase) - drag * v_0           the steered disc; all others move freely, a_k = 0
    v'   = v + a dt + noise sqrt(dt) xi                    at most `MAX_SPEED`
    p'   = p + v' dt                                       reflected at the walls, where the velocity turns round

Shapes pass through one another. Touching the target (a square) gives +1 and ends the episode, running into a hazard gives -1 at the
step when the touch begins. The wind blows in one of four directions and turns every `PHASE_SECONDS`; when it will turn for the first
time can only be known by waiting. Arrays are `[N,T,...]`, N episodes of at most T steps; what follows a catch means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from twm_shapes.config import PHASES, ShapesConfig
from twm_shapes.policy import DIRECTIONS, SEEKING, as_move, as_thrust, drift, wish

Floats = NDArray[np.float64]

THRUST, WIND, DRAG = 1.5, 0.4, 1.2
"""Accelerations in box widths per second squared, and 1/s."""
MAX_SPEED = 1.5
PHASE_SECONDS = 1.5
RADII = (0.06, 0.06, 0.09, 0.07, 0.08, 0.06)
"""Radius of each disc, half the side of each square."""
SQUARES = (False, True, False, True, False, True)
"""Which shapes are squares, with sides along the axes."""
_CLEARANCE = 0.3
"""Distance between the steered shape and the others at the beginning, where a place at that distance is found."""
_TRIES = 32
_WINDS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])


@dataclass(frozen=True)
class Episodes:
    """Simulated episodes.

    Attributes:
        length: int64 `[N]`, steps of each.
        position: `[N,T,K,2]`, box widths.
        velocity: `[N,T,K,2]`, box widths per second.
        phase: int64 `[N,T]`, 1 to 4.
        reward: `[N,T]`.
        caught: bool `[N]`, whether the last step is terminal.
        action: `[N,T,U]`, None without actions.
    """

    length: NDArray[np.int64]
    position: Floats
    velocity: Floats
    phase: NDArray[np.int64]
    reward: Floats
    caught: NDArray[np.bool_]
    action: Floats | None


@dataclass(frozen=True)
class _Draws:
    """All random numbers of the episodes: each episode has its own stream, so that it does not depend on how many there are."""

    position: Floats  # [N,K,2]
    velocity: Floats  # [N,K,2]
    clock: NDArray[np.int64]  # [N]
    seeks: NDArray[np.bool_]  # [N]
    whims: Floats  # [T,N,2]
    noise: Floats  # [T,N,K,2]


def simulate(config: ShapesConfig, *, split: int, episodes: int) -> Episodes:
    """Episodes of one split.

    Args:
        config: Sizes, actions, noise and seed.
        split: Number of the split, part of the seed of each episode.
        episodes: `N`.
    """
    draws = _draw(config, split, episodes)
    steps, size, dt = config.episode_steps, config.shapes, config.dt
    radius = np.array(RADII[:size])
    turn = max(1, round(PHASE_SECONDS / dt))
    p, v = draws.position, draws.velocity
    whim = draws.whims[0]
    position, velocity = np.zeros((episodes, steps, size, 2)), np.zeros((episodes, steps, size, 2))
    phase = 1 + (draws.clock[:, None] + np.arange(steps)) // turn % PHASES
    actions = []
    for t in range(steps):
        position[:, t], velocity[:, t] = p, v
        thrust = np.zeros((episodes, 2))
        if config.actions != "none":
            wished = wish(p, v, whim, draws.seeks)
            action = as_thrust(wished) if config.actions == "continuous" else as_move(wished)
            thrust = action if config.actions == "continuous" else action @ DIRECTIONS
            actions.append(action)
        p, v = advance(p, v, thrust, phase[:, t], radius, dt=dt, push=config.noise * np.sqrt(dt) * draws.noise[t])
        whim = drift(whim, draws.whims[t], dt)
    touching = touches(position, radius)  # [N,T,K-1]
    begins = touching.copy()
    begins[:, 1:] &= ~touching[:, :-1]
    reward = touching[..., 0].astype(np.float64) - begins[..., 1:].sum(axis=-1)
    caught = np.any(touching[..., :1], axis=(1, 2))
    length = np.where(caught, touching[..., 0].argmax(axis=1) + 1, steps).astype(np.int64)
    action_rows = np.stack(actions, axis=1) if actions else None
    return Episodes(length, position, velocity, phase.astype(np.int64), reward, caught, action_rows)


def advance(
    p: Floats, v: Floats, thrust: Floats, phase: NDArray[np.int64], radius: Floats, *, dt: float, push: Floats
) -> tuple[Floats, Floats]:
    """One step.

    Args:
        p: Positions `[N,K,2]`.
        v: Velocities `[N,K,2]`.
        thrust: `[N,2]`, each number between -1 and 1.
        phase: `[N]`, 1 to 4.
        radius: `[K]`.
        dt: Seconds.
        push: Random changes of the velocities `[N,K,2]`.

    Returns:
        Positions and velocities one step later.
    """
    after = v + push
    after[:, 0] += dt * (THRUST * thrust + WIND * _WINDS[phase - 1] - DRAG * v[:, 0])
    speed = np.linalg.norm(after, axis=-1, keepdims=True)
    after *= np.minimum(1.0, MAX_SPEED / np.maximum(speed, 1e-9))
    moved = p + dt * after
    low, high = radius[:, None], 1 - radius[:, None]
    below, above = moved < low, moved > high
    # At most MAX_SPEED and 0.2 s, a shape meets each wall once in a step.
    moved = np.where(below, 2 * low - moved, np.where(above, 2 * high - moved, moved))
    return moved, np.where(below | above, -after, after)


def touches(position: Floats, radius: Floats) -> NDArray[np.bool_]:
    """Whether the steered disc touches each of the other shapes: `[...,K,2]` to `[...,K-1]`."""
    apart = np.abs(position[..., 1:, :] - position[..., :1, :])
    square = np.array(SQUARES[1 : len(radius)])
    # The nearest point of a square lies inside its sides, that of a disc is its centre less its radius.
    to_square = np.linalg.norm(np.maximum(apart - radius[1:, None], 0), axis=-1)
    to_disc = np.linalg.norm(apart, axis=-1) - radius[1:]
    return np.where(square, to_square, to_disc) < radius[0]


def _draw(config: ShapesConfig, split: int, episodes: int) -> _Draws:
    size, steps = config.shapes, config.episode_steps
    radius = np.array(RADII[:size])[:, None]
    turn = max(1, round(PHASE_SECONDS / config.dt))
    position, velocity = np.zeros((episodes, size, 2)), np.zeros((episodes, size, 2))
    clock, seeks = np.zeros(episodes, dtype=np.int64), np.zeros(episodes, dtype=bool)
    whims, noise = np.zeros((steps, episodes, 2)), np.zeros((steps, episodes, size, 2))
    for n in range(episodes):
        random = np.random.default_rng(np.random.SeedSequence([config.seed, split, n]))
        clock[n], seeks[n] = random.integers(turn * PHASES), random.random() < SEEKING
        places = radius + (1 - 2 * radius) * random.random((_TRIES, size, 2))  # [tries,K,2]
        position[n, 0] = places[0, 0]
        far = np.linalg.norm(places[:, 1:] - places[0, 0], axis=-1) - radius[1:, 0]  # [tries,K-1]
        chosen = np.where((far > _CLEARANCE).any(axis=0), (far > _CLEARANCE).argmax(axis=0), far.argmax(axis=0))
        position[n, 1:] = places[chosen, np.arange(1, size)]
        angle, speed = random.random(size) * 2 * np.pi, 0.2 + 0.4 * random.random(size)
        velocity[n] = (speed * np.stack([np.cos(angle), np.sin(angle)]))[..., :].T
        # Step by step, so that an episode begins in the same way however long it may last.
        rows = random.standard_normal((steps, size + 1, 2))
        whims[:, n], noise[:, n] = rows[:, 0], rows[:, 1:]
    return _Draws(position, velocity, clock, seeks, whims, noise)
