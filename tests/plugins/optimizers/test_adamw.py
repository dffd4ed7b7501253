"""AdamW's groups, and its update against a NumPy loop; with adaptive clipping, against gradients that were clipped by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from twm_core.specs import OptimizerSpecs
from twm_optimizers.adamw import build
from twm_optimizers.config import AdamWConfig


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def adamw(net: nn.Module, *, lr: float = 0.1, **options: float) -> torch.optim.Optimizer:
    return build(AdamWConfig.model_validate(options), OptimizerSpecs(parameters=dict(net.named_parameters()), lr=lr))


def test_only_matrices_decay() -> None:
    net = model()
    optimizer = adamw(net, weight_decay=0.3)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert {n: decay[id(p)] for n, p in net.named_parameters()} == {
        "0.weight": 0.3,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "2.weight": 0.3,
        "2.bias": 0.0,
    }


def test_a_model_without_matrices_has_one_group() -> None:
    assert [len(g["params"]) for g in adamw(nn.LayerNorm(4)).param_groups] == [2]


def test_updates_equal_adamw_written_as_a_loop() -> None:
    net = model()
    optimizer = adamw(net, weight_decay=0.3, lr=0.05)
    mine = {n: p.detach().numpy().astype(np.float64).copy() for n, p in net.named_parameters()}
    first = {n: np.zeros_like(v) for n, v in mine.items()}
    second = {n: np.zeros_like(v) for n, v in mine.items()}
    for k in range(1, 6):
        optimizer.zero_grad()
        (net(torch.full((2, 3), float(k))) ** 2).sum().backward()
        for name, p in net.named_parameters():
            assert p.grad is not None
            gradient = p.grad.numpy().astype(np.float64)
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.999 * second[name] + 0.001 * gradient**2
            decayed = mine[name] * (1 - 0.05 * (0.3 if gradient.ndim > 1 else 0.0))
            mine[name] = decayed - 0.05 * (first[name] / (1 - 0.9**k)) / (np.sqrt(second[name] / (1 - 0.999**k)) + 1e-8)
        optimizer.step()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(p.detach().numpy(), mine[name], rtol=2e-4, atol=2e-5)


def test_adaptive_clipping_comes_before_the_step() -> None:
    clipped, by_hand = model(), model()
    one, two = adamw(clipped, agc=0.1), adamw(by_hand)
    for net in (clipped, by_hand):
        (100 * net(torch.ones(2, 3)) ** 2).sum().backward()
    for p in by_hand.parameters():
        assert p.grad is not None
        p.grad *= min(1.0, 0.1 * max(1e-3, float(p.detach().norm())) / float(p.grad.norm()))
    for optimizer in (one, two):
        optimizer.step()
    for a, b in zip(clipped.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_share_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="agc"):
        AdamWConfig(agc=-1.0)
