"""The path that led an agent to where it is, against a loop over agents and steps."""

from __future__ import annotations

import math

import numpy as np
import torch

from twm_core.data.schema import MOTION, traffic_observations
from twm_multiagent.history import PastPath

STATE = traffic_observations(features=MOTION, dt=0.2, context=3, horizon=2, protocol="test", lanes=0, sites=0).get("agents.state")
X, Y, HEADING = (STATE.index(n) for n in ("x", "y", "heading"))


def scene(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(seed)
    state = torch.randn(2, 7, 3, len(STATE.features), generator=source)
    exists = torch.rand(2, 7, 3, generator=source) > 0.3
    first = torch.zeros(2, 7, dtype=torch.bool)
    first[:, 0] = first[1, 4] = True
    return torch.where(exists[..., None], state, 0), exists, first


def test_it_is_what_a_loop_finds() -> None:
    state, exists, first = scene()
    steps = 4
    got = PastPath(STATE, steps)(state, exists, first).numpy().reshape(2, 7, 3, steps - 1, 6)
    for b, t, a in np.ndindex(2, 7, 3):
        heading = float(state[b, t, a, HEADING])
        later, later_known = np.zeros(2), bool(exists[b, t, a])
        begin = max(s for s in range(t + 1) if bool(first[b, s]))
        for k in range(1, steps):
            known = t - k >= begin and bool(exists[b, t, a]) and bool(exists[b, t - k, a])
            own = np.zeros(2)
            if known:
                dx, dy = (float(state[b, t - k, a, i] - state[b, t, a, i]) for i in (X, Y))
                c, s = math.cos(heading), math.sin(heading)
                own = np.array([dx * c + dy * s, dy * c - dx * s])
            both = known and later_known
            wanted = [*own, *((later - own) if both else (0, 0)), known, both]
            np.testing.assert_allclose(got[b, t, a, k - 1], wanted, atol=1e-5)
            later, later_known = own, known


def test_turning_and_shifting_the_world_changes_nothing() -> None:
    state, exists, first = scene()
    angle = 0.9
    moved = state.clone()
    moved[..., X] = state[..., X] * math.cos(angle) - state[..., Y] * math.sin(angle) + 40
    moved[..., Y] = state[..., X] * math.sin(angle) + state[..., Y] * math.cos(angle) - 7
    moved[..., HEADING] = state[..., HEADING] + angle
    moved = torch.where(exists[..., None], moved, 0)
    path = PastPath(STATE, 5)
    torch.testing.assert_close(path(moved, exists, first), path(state, exists, first), atol=2e-5, rtol=1e-4)


def test_a_history_longer_than_the_sequence_is_not_observed() -> None:
    state, exists, first = (x[:, :2] for x in scene())
    got = PastPath(STATE, 6)(state, exists, first).unflatten(-1, (5, 6))
    assert bool((got[..., 1:, :] == 0).all())
