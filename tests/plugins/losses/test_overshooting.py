"""Latent overshooting against `torch.distributions` and plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_core.nn.distributions import Categorical, Distribution, Normal
from twm_core.nn.interfaces import Belief, Features, Outputs
from twm_losses.config import RolloutConfig
from twm_losses.overshooting import overshooting
from twm_losses.rollout import RolloutLoss

B, T, A, S, H, START = 2, 6, 4, 3, 3, 3


def leaves(family: str, agents: bool, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Parameters of the posterior `[B,T,...]` and of what was imagined `[B,S,H,...]`."""
    g = torch.Generator().manual_seed(seed)
    rest = (*((A,) if agents else ()), *((2, 5) if family == "categorical" else (3,)))
    return tuple(torch.randn(*lead, *rest, generator=g).requires_grad_() for lead in ((B, T), (B, S, H)))  # pyrefly: ignore[bad-return]


def make(family: str, x: Tensor) -> Distribution | None:
    if family == "none":
        return None
    return Categorical(x, 0.01) if family == "categorical" else Normal(x, torch.nn.functional.softplus(x) + 0.1)


def independent(family: str, q: Tensor, p: Tensor) -> float:
    """The divergence of one latent."""
    if family == "none":
        return float((q - p).square().mean())
    if family == "categorical":
        a, b = (torch.distributions.Categorical(0.99 * x.softmax(-1) + 0.01 / 5) for x in (q, p))
    else:
        a, b = (torch.distributions.Normal(x, torch.nn.functional.softplus(x) + 0.1) for x in (q, p))
    return float(torch.distributions.kl_divergence(a, b).sum())


def outputs(drive: Any, family: str, agents: bool, q: Tensor, p: Tensor) -> Outputs:
    def belief(x: Tensor) -> Belief:
        read = x.flatten(-2) if family == "categorical" else x
        return Belief(None, Features(None, read) if agents else Features(read, None), make(family, x))

    made = drive.outputs(posterior=belief(q))
    return made._replace(rollout=made.rollout._replace(belief=belief(p)))


@pytest.mark.parametrize("free", [0.0, 2.0])
@pytest.mark.parametrize("agents", [True, False])
@pytest.mark.parametrize("family", ["categorical", "gaussian", "none"])
def test_it_equals_a_loop_over_futures_and_latents_that_exist(drive: Any, family: str, agents: bool, free: float) -> None:
    q, p = leaves(family, agents)
    with torch.no_grad():
        made = outputs(drive, family, agents, q, p)
        found = overshooting(made, made.rollout, drive.batch, agents=agents, samples=2, steps=2, free_nats=free)
    each = []
    for b in range(B):
        for s in range(2):
            for h in range(2):
                rows = [a for a in range(A) if drive.here[b, h, a]] if agents else [None]
                for a in rows:
                    at = () if a is None else (a,)
                    nats = independent(family, q[(b, START + h, *at)].detach().double(), p[(b, s, h, *at)].detach().double())
                    each.append(nats if family == "none" else max(nats, free))
    np.testing.assert_allclose(found.item(), np.mean(each), rtol=1e-5)


@pytest.mark.parametrize("agents", [True, False])
@pytest.mark.parametrize("family", ["categorical", "gaussian", "none"])
def test_it_trains_the_imagined_side_only_where_agents_exist(drive: Any, family: str, agents: bool) -> None:
    q, p = leaves(family, agents)
    made = outputs(drive, family, agents, q, p)
    overshooting(made, made.rollout, drive.batch, agents=agents, samples=S, steps=None, free_nats=0.0).backward()
    assert q.grad is None
    assert p.grad is not None
    trained = (p.grad != 0).flatten(4 if agents else 3).any(-1)
    assert torch.equal(trained, drive.here[:, None].expand(-1, S, -1, -1)) if agents else trained.all()


@pytest.mark.parametrize("family", ["gaussian", "none"])
def test_latents_of_absent_agents_may_hold_anything(drive: Any, family: str) -> None:
    q, p = leaves(family, agents=True)
    made = outputs(drive, family, True, q, p)
    usual = overshooting(made, made.rollout, drive.batch, agents=True, samples=S, steps=None, free_nats=0.0)
    q.data[~drive.exists] = torch.nan
    p.data[~drive.here[:, None].expand(-1, S, -1, -1)] = torch.nan
    made = outputs(drive, family, True, q, p)
    other = overshooting(made, made.rollout, drive.batch, agents=True, samples=S, steps=None, free_nats=0.0)
    other.backward()
    assert other.item() == pytest.approx(usual.item())
    assert p.grad is not None
    # Elsewhere the deviation's own softplus, which is not the loss's, makes NaN of NaN.
    assert p.grad[drive.here[:, None].expand(-1, S, -1, -1)].isfinite().all()


def test_below_the_free_nats_and_in_an_empty_scene_nothing_is_trained(drives: Any) -> None:
    q, p = leaves("gaussian", agents=True)
    for drive, value in ((drives(), 1e3), (drives(presence=0.0), 0)):
        made = outputs(drive, "gaussian", True, q, p)
        found = overshooting(made, made.rollout, drive.batch, agents=True, samples=S, steps=None, free_nats=1e3)
        found.backward()
        assert found.item() == pytest.approx(value)
        assert p.grad is not None
        assert not p.grad.any()


def test_the_rollout_loss_adds_it_with_its_factor(drive: Any) -> None:
    q, p = leaves("gaussian", agents=True)
    made = outputs(drive, "gaussian", True, q, p)
    config = RolloutConfig(samples=2, overshooting=0.5, free_nats=0.0)
    loss = RolloutLoss(config=config, truth=[1, 4], decoded=[4, 3], existence=False, agents=True)
    nats = overshooting(made, made.rollout, drive.batch, agents=True, samples=2, steps=None, free_nats=0.0)
    assert loss(made, drive.batch)["overshooting"].item() == pytest.approx(0.5 * nats.item())
