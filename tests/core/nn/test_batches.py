"""Cutting and anchoring batches in time."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from twm_core.data.dataset import Batch
from twm_core.data.schema import MOTION, traffic_observations
from twm_core.nn.batches import anchor_at, follows, observed_before, previous_anchor, same_episode, slice_time

B, T, A = 2, 6, 3
OBS_SPEC = traffic_observations(features=MOTION, dt=0.5, context=4, horizon=2, protocol="p", lanes=3, sites=2)


def batch() -> Batch:
    made: Batch = {"action": torch.arange(B * T * A * 2.0).view(B, T, A, 2)}
    sizes = {"B": B, "T": T, "A": A, "F": len(MOTION)}
    for i, key in enumerate(OBS_SPEC.keys):
        shape = [sizes[axis] for axis in key.axes.split()]
        made[key.key] = (torch.rand(shape, generator=torch.Generator().manual_seed(i)) * 9).to(getattr(torch, key.dtype))
    return made


def test_a_slice_holds_these_steps_of_every_key_with_time() -> None:
    whole = batch()
    cut = slice_time(whole, OBS_SPEC, 1, 4)
    for key in ("agents.state", "agents.exists", "agents.lane", "is_first", "action"):
        assert torch.equal(cut[key], whole[key][:, 1:4]), key
    for key in ("agents.type", "dt", "site"):
        assert torch.equal(cut[key], whole[key]), key


def test_a_slice_holds_no_target_and_no_foreign_key() -> None:
    cut = slice_time({**batch(), "future": torch.zeros(B, T)}, OBS_SPEC, 0, 4)
    assert not {"agents.code", "agents.scored", "agents.track", "scenario", "future"} & set(cut)


def test_a_slice_leaves_the_batch_as_it_was_and_needs_no_optional_key() -> None:
    whole = batch()
    keys = set(whole)
    slice_time(whole, OBS_SPEC, 0, 2)
    assert set(whole) == keys
    del whole["action"], whole["agents.lane"]
    assert "agents.lane" not in slice_time(whole, OBS_SPEC, 0, 2)


def test_the_anchor_of_a_step_is_the_step_before_and_nobody_precedes_the_first() -> None:
    whole = batch()
    whole["is_first"] = torch.arange(T).expand(B, T) == 0
    anchor = previous_anchor(whole)
    assert anchor is not None
    assert not anchor.exists[:, 0].any()
    for t in range(1, T):
        assert torch.equal(anchor.state[:, t], whole["agents.state"][:, t - 1])
        assert torch.equal(anchor.exists[:, t], whole["agents.exists"][:, t - 1])
    assert anchor.state.shape == whole["agents.state"].shape
    assert torch.equal(anchor.dt, whole["dt"][:, None])


def test_nobody_precedes_the_first_step_of_an_episode_in_mid_window() -> None:
    whole = {**batch(), "agents.exists": torch.ones(B, T, A, dtype=torch.bool), "is_first": torch.zeros(B, T, dtype=torch.bool)}
    whole["is_first"][1, 3] = True
    anchor = previous_anchor(whole)
    assert anchor is not None
    expected = torch.ones(B, T, A, dtype=torch.bool)
    expected[:, 0] = False
    expected[1, 3] = False
    assert torch.equal(anchor.exists, expected)


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 8))
def test_episodes_are_told_apart_as_by_a_loop(first: list[bool], start: int) -> None:
    start = min(start, len(first) - 1)
    is_first = torch.tensor([first])
    assert follows(is_first)[0].tolist() == [t > 0 and not first[t] for t in range(len(first))]
    assert same_episode(is_first, start)[0].tolist() == [not any(first[start : t + 1]) for t in range(start, len(first))]


def test_a_rollout_is_anchored_at_one_step() -> None:
    whole = batch()
    anchor = anchor_at(whole, 3)
    assert anchor is not None
    assert torch.equal(anchor.state, whole["agents.state"][:, 3])
    assert torch.equal(anchor.exists, whole["agents.exists"][:, 3])


def test_batches_without_agents_have_no_anchor() -> None:
    assert previous_anchor({"image": torch.zeros(B, T, 1)}) is None
    assert anchor_at({"image": torch.zeros(B, T, 1)}, 0) is None


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=7), min_size=1, max_size=4), st.sets(st.integers(0, 6)))
def test_seen_before_equals_a_loop_over_the_steps_of_an_episode(rows: list[list[bool]], begins: set[int]) -> None:
    steps = min(map(len, rows))
    exists: Tensor = torch.tensor([row[:steps] for row in rows]).T[None]  # 1 T A
    seen = observed_before(exists, torch.tensor([[t in begins for t in range(steps)]]))
    for a, row in enumerate(rows):
        assert seen[0, :, a].tolist() == [any(row[max([b for b in begins if b <= t], default=0) : t]) for t in range(steps)]
