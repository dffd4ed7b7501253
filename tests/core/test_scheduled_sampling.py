"""Scheduled sampling: how many observations are withheld, and which never are."""

from __future__ import annotations

import torch

from twm_core.recipe.training_config import TrainingConfig
from twm_core.training.scheduled_sampling import share_at, withhold


def batch(rows: int = 200, steps: int = 20, agents: int = 5) -> dict[str, torch.Tensor]:
    first = torch.zeros(rows, steps, dtype=torch.bool)
    first[:, 0] = True
    first[::2, 7] = True
    return {"is_first": first, "agents.exists": torch.ones(rows, steps, agents, dtype=torch.bool)}


def test_the_share_grows_to_its_final_value_over_the_ramp() -> None:
    config = TrainingConfig(steps=100, scheduled_sampling=0.3, scheduled_sampling_ramp=50)
    assert [round(share_at(config, k), 3) for k in (0, 25, 50, 99)] == [0.0, 0.15, 0.3, 0.3]


def test_without_a_ramp_it_grows_over_the_whole_run() -> None:
    assert share_at(TrainingConfig(steps=100, scheduled_sampling=0.3), 50) == 0.15


def test_teacher_forcing_withholds_nothing_and_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert withhold(batch(), 0.0, agents=True, generator=generator) is None
    assert torch.equal(generator.get_state(), before)


def test_the_asked_share_of_agents_is_withheld_each_for_itself() -> None:
    found = withhold(batch(), 0.3, agents=True, generator=torch.Generator().manual_seed(0))
    assert found is not None
    assert found.shape == (200, 20, 5)
    assert abs(float(found[1::2, 1:].float().mean()) - 0.3) < 0.01
    assert not torch.equal(found[..., 0], found[..., 1])


def test_the_first_step_of_an_episode_is_never_withheld() -> None:
    given = batch()
    for agents in (False, True):
        found = withhold(given, 1.0, agents=agents, generator=torch.Generator().manual_seed(0))
        assert found is not None
        reached = found.reshape(200, 20, -1)
        assert not reached[given["is_first"]].any()
        assert reached[~given["is_first"]].all()
