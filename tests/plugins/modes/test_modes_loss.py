"""Evolving winner takes all, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from twm_core.errors import PluginError
from twm_core.nn.interfaces import Ahead, Belief, Features, Outputs
from twm_modes.config import ModesLossConfig
from twm_modes.futures import FutureModes
from twm_modes.loss import ModesLoss, winners

NOBODY = Belief(None, Features(None, None), None)


def outputs(found: FutureModes | None, step: int | None = None) -> Outputs:
    ahead = None if found is None else Ahead(2, {"agents.futures": found})
    return Outputs(NOBODY, NOBODY, {}, {}, None, ahead, step)


def batch(truth: torch.Tensor, exists: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """One window with 2 observed steps at the origin and `truth` `[H,A,2]` after them."""
    steps, agents = truth.shape[:2]
    state = torch.cat([torch.zeros(2, agents, 2), truth])[None]
    there = torch.ones(1, 2 + steps, agents, dtype=torch.bool) if exists is None else exists
    return {"agents.state": state, "agents.exists": there, "is_first": torch.zeros(1, 2 + steps, dtype=torch.bool)}


def futures(positions: torch.Tensor, centre: torch.Tensor, logits: list[float], std: float = 1.0) -> FutureModes:
    """`[K,H,2]` and `[H,2]`, the same for one agent."""
    full = torch.cat([positions, torch.zeros(*positions.shape[:-1], 3)], dim=-1).permute(1, 0, 2)[None, None, :, None]
    middle = torch.cat([centre, torch.zeros(len(centre), 3)], dim=-1)[None, None, :, None]
    return FutureModes(full, torch.full(full.shape[:-1], std), torch.tensor(logits).expand(full.shape[:-1]), middle)


def loss(**options: float) -> ModesLoss:
    return ModesLoss(config=ModesLossConfig(**options), position=[0, 1])  # pyrefly: ignore[bad-argument-type]


PATHS = torch.tensor([[[1.0, 0.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]], [[0.0, 4.0], [0.0, 4.0]]])
"""Three futures of two steps; from a truth at the origin they are 1 and 3, 1 and 1, 4 and 4 metres away."""


def test_the_best_future_learns_and_its_weight() -> None:
    """Averages 2, 1, 4; final distances 3, 1, 4: the second wins with 1 + 0.25 * 1."""
    found = futures(PATHS, torch.zeros(2, 2) + torch.tensor([0.0, 2.0]), [0.0, 1.0, 2.0])
    terms = loss()(outputs(found), batch(torch.zeros(2, 1, 2)))
    assert float(terms["regression"]) == pytest.approx(1.25, abs=1e-3)
    assert float(terms["centre"]) == pytest.approx(0.5 * (2 + 0.25 * 2), abs=1e-3)
    surprise = math.log(1 + math.e + math.e**2) - 1
    assert float(terms["classification"]) == pytest.approx(0.1 * surprise, abs=1e-5)
    # Off by 1 m at both steps with a deviation of 1 m: 0.5 + log(2 pi).
    assert float(terms["spread"]) == pytest.approx(0.05 * (0.5 + math.log(2 * math.pi)), abs=1e-4)


def test_all_futures_learn_at_first_and_fewer_later() -> None:
    found = futures(PATHS, torch.zeros(2, 2), [0.0, 0.0, 0.0])
    costs = [2 + 0.25 * 3, 1.25, 5.0]
    for step, wanted in ((0, sum(costs) / 3), (5, (costs[0] + costs[1]) / 2), (10, costs[1])):
        terms = loss(anneal=10)(outputs(found, step), batch(torch.zeros(2, 1, 2)))
        assert float(terms["regression"]) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(("step", "wanted"), [(0, 20), (50, 10), (99, 1), (100, 1), (None, 1)])
def test_winners_fall_from_all_to_one(step: int | None, wanted: int) -> None:
    assert winners(20, step, 100) == wanted


def test_the_last_step_at_which_an_agent_is_there_is_its_final_one() -> None:
    exists = torch.ones(1, 4, 1, dtype=torch.bool)
    exists[0, 3] = False
    found = futures(PATHS, torch.zeros(2, 2), [0.0, 0.0, 0.0])
    terms = loss(final=1.0)(outputs(found), batch(torch.zeros(2, 1, 2), exists))
    # Only the first step counts: 1 + 1 for the first two futures.
    assert float(terms["regression"]) == pytest.approx(2.0, abs=1e-3)


def test_agents_seen_too_briefly_do_not_count_and_nobody_costs_nothing() -> None:
    exists = torch.ones(1, 4, 1, dtype=torch.bool)
    exists[0, 0] = False
    terms = loss(observed=2)(outputs(futures(PATHS, torch.zeros(2, 2), [0.0] * 3)), batch(torch.zeros(2, 1, 2), exists))
    assert all(float(v) == 0 for v in terms.values())


def test_the_spread_leaves_the_futures_alone() -> None:
    paths = PATHS.clone().requires_grad_()
    terms = loss()(outputs(futures(paths, torch.zeros(2, 2), [0.0] * 3)), batch(torch.zeros(2, 1, 2)))
    assert not terms["spread"].requires_grad
    terms["regression"].backward()
    assert paths.grad is not None
    assert bool((paths.grad[1] != 0).any())
    assert bool((paths.grad[[0, 2]] == 0).all())


def test_outputs_without_whole_futures_are_refused() -> None:
    with pytest.raises(PluginError, match="decoded nothing ahead"):
        loss()(outputs(None), batch(torch.zeros(2, 1, 2)))
