"""Actions reach the rows of a scan as if each row's action had been mapped on its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from twm_core import ActionSpec, Feature, Mismatch
from twm_core.nn.actions import action_parts

B, T, A, D = 2, 3, 4, 5
FEATURES = (Feature(name="a"), Feature(name="b"))


def test_an_action_of_the_scene_reaches_each_of_its_agents() -> None:
    actions, project = torch.randn(B, T, 2, generator=torch.Generator().manual_seed(0)), nn.Linear(2, D)
    spec = ActionSpec(layout="scene", features=FEATURES)
    rows = action_parts(actions, spec, None, project, agents=(A,))
    assert rows.shape == (T, B * A, D)
    torch.testing.assert_close(rows.view(T, B, A, D), project(actions).transpose(0, 1).unsqueeze(2).expand(T, B, A, D))
    torch.testing.assert_close(action_parts(actions, spec, None, project, agents=()), project(actions).transpose(0, 1))


def test_an_action_of_an_agent_that_does_not_exist_counts_as_zero() -> None:
    actions = torch.full((B, T, A, 2), float("nan"))
    exists = torch.zeros(B, T, A, dtype=torch.bool)
    exists[1, 2, 3] = True
    actions[exists] = 1.0
    rows = action_parts(actions, ActionSpec(layout="agents", features=FEATURES), exists, nn.Linear(2, D, bias=False), agents=(A,))
    assert (rows != 0).any(-1).nonzero().tolist() == [[2, 1 * A + 3]]


def test_actions_where_none_were_declared_are_refused() -> None:
    with pytest.raises(Mismatch, match="needs actions of width 2, got none"):
        action_parts(None, ActionSpec(layout="scene", features=FEATURES), None, nn.Identity(), agents=())  # type: ignore[arg-type]
