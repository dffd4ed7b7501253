"""LaProp with adaptive clipping against a NumPy implementation in float64, over ten updates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from twm_optimizers import laprop
from twm_optimizers.laprop import LaProp, clip_adaptively

SHAPES = [(70, 1000), (5,), (4, 3, 2), (1,)]
LR, DECAY, AGC = 1e-2, 0.1, 0.3


def reference(start: NDArray[Any], grads: list[NDArray[Any]], *, agc: float, decay: float) -> NDArray[Any]:
    p, v, m = start.astype(np.float64), np.zeros(start.shape), np.zeros(start.shape)
    for t, raw in enumerate(grads, start=1):
        g = raw.astype(np.float64)
        if agc:
            g = g * min(1.0, agc * max(1e-3, np.linalg.norm(p)) / max(np.linalg.norm(g), 1e-30))
        v = 0.999 * v + 0.001 * g**2
        m = 0.9 * m + 0.1 * g / (np.sqrt(v / (1 - 0.999**t)) + 1e-20)
        p = p * (1 - LR * decay) - LR * m / (1 - 0.9**t)
    return p


def run(agc: float, decay: float) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    source = np.random.default_rng(0)
    starts = [source.normal(size=s).astype(np.float32) for s in SHAPES]
    starts[1][:] = 0  # a bias that begins at zero
    grads = [[source.normal(size=s, scale=10.0 ** source.integers(-3, 2)).astype(np.float32) for s in SHAPES] for _ in range(10)]
    for step in grads:
        step[2][0] = 0  # gradients of exactly zero
    params = [torch.nn.Parameter(torch.from_numpy(s.copy())) for s in starts]
    optimizer = LaProp(params, lr=LR, weight_decay=decay, agc=agc)
    for step in grads:
        for p, g in zip(params, step, strict=True):
            p.grad = torch.from_numpy(g.copy())
        optimizer.step()
    wanted = [reference(s, [g[i] for g in grads], agc=agc, decay=decay) for i, s in enumerate(starts)]
    return [p.detach().numpy() for p in params], wanted


@pytest.mark.parametrize("together", [False, True], ids=["in pieces", "all tensors at once"])
@pytest.mark.parametrize(("agc", "decay"), [(AGC, 0.0), (0.0, DECAY), (AGC, DECAY)])
def test_ten_updates_equal_the_reference(monkeypatch: pytest.MonkeyPatch, together: bool, agc: float, decay: float) -> None:
    if together:
        monkeypatch.setattr(laprop, "_in_pieces", laprop._together)
    for found, wanted in zip(*run(agc, decay), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_gradient_larger_than_its_share_is_clipped_to_it() -> None:
    p = torch.nn.Parameter(torch.full((4,), 2.0))
    p.grad = torch.tensor([30.0, 0.0, 40.0, 0.0])
    clip_adaptively([p], AGC)
    assert p.grad.norm().item() == pytest.approx(AGC * 4.0)
    assert (p.grad[2] / p.grad[0]).item() == pytest.approx(4 / 3)


def test_a_small_gradient_is_left_alone() -> None:
    p = torch.nn.Parameter(torch.full((4,), 2.0))
    p.grad = torch.full((4,), 0.01)
    clip_adaptively([p], AGC)
    assert torch.equal(p.grad, torch.full((4,), 0.01))


def test_parameters_without_a_gradient_stay_and_have_no_state() -> None:
    moved, still = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
    optimizer = LaProp([moved, still], lr=LR)
    moved.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(still, torch.ones(3))
    assert not optimizer.state[still]
    assert not torch.equal(moved, torch.ones(3))
