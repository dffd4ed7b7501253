"""The opening and the end of imagination: samples in the batch, actions known beforehand or chosen, refusals."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from twm_core import ActionSpec, Feature, Mismatch, UsageError
from twm_core.nn.imagining import Futures
from twm_core.nn.interfaces import Features

SPEC = ActionSpec(layout="agents", features=(Feature(name="a"), Feature(name="b")))
B, H, A, S = 2, 3, 4, 5


class Level(NamedTuple):
    value: Tensor


def part(actions: Tensor, exists: Tensor | None) -> Tensor:
    """Time first, rows flat, zero for those who take no part."""
    if exists is not None:
        actions = actions * exists[:, None, :, None]
    return actions.transpose(0, 1).flatten(1, 2)


def futures(actions: Any, *, steps: int = H, spec: ActionSpec | None = SPEC, exists: Tensor | None = None) -> Futures:
    state = Level(torch.arange(B * A).view(B, A, 1).float())
    return Futures(
        state, steps, actions, spec=spec, exists=exists, samples=S, part=part, features=lambda state: Features(None, state.value)
    )


def test_known_actions_reach_every_sample_of_their_scene_and_only_those_taking_part() -> None:
    actions = torch.randn(B, H + 1, A, 2, generator=torch.Generator().manual_seed(0))
    exists = torch.tensor([[True, False, True, True], [False, True, True, True]])
    made = futures(actions, exists=exists)
    assert made.exists is not None
    for t in range(H):
        got = made.action_part(t, made.start)
        assert got is not None
        for b in range(B):
            for s in range(S):
                assert torch.equal(got.view(B, S, A, 2)[b, s], actions[b, t] * exists[b, :, None])


def test_a_policy_is_asked_at_each_step_with_the_features_before_it() -> None:
    asked: list[Tensor] = []

    def policy(features: Features) -> Tensor:
        assert features.agents is not None
        asked.append(features.agents)
        return features.agents.expand(-1, -1, 2)

    made = futures(policy)
    states = [made.start]
    for t in range(H):
        got = made.action_part(t, states[-1])
        assert got is not None
        states.append(Level(got.view(B * S, A, 2)[..., :1] + 1))
    assert all(torch.equal(a, s.value) for a, s in zip(asked, states, strict=False))
    joined = made.join(states[1:])
    assert joined.value.shape == (B, S, H, A, 1)
    assert torch.equal(joined.value[:, 2, 1], torch.arange(B * A).view(B, A, 1).float() + 2)


def test_without_actions_there_is_no_part() -> None:
    made = futures(None, spec=None)
    assert made.action_part(0, made.start) is None
    assert made.exists is None


def test_bad_requests_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one step, got 0"):
        futures(None, steps=0, spec=None)
    with pytest.raises(UsageError, match="asked for 3 steps and given actions for 2"):
        futures(torch.zeros(B, 2, A, 2))
    with pytest.raises(Mismatch, match="needs actions of width 2, got none"):
        futures(None)
    with pytest.raises(Mismatch, match="needs no actions, got actions of shape"):
        futures(torch.zeros(B, H, A, 2), spec=None)
