"""Learning rate against points of its closed form, optimizers that are saved and restored, and the moving average."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from twm_core.recipe.training_config import TrainingConfig
from twm_core.training.optimizer import MovingAverage, decay_groups, learning_rate
from twm_core.training.optimizer_state import optimizer_state, restore_optimizer


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def adamw(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(decay_groups(dict(net.named_parameters()), 0.01), lr=0.1)


def config(**fields: object) -> TrainingConfig:
    return TrainingConfig.model_validate({"lr": 0.1, "steps": 110, "warmup": 10, "lr_end": 0.2, **fields})


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 1 / 10),
        (4, 5 / 10),
        (9, 1.0),
        (10, 1.0),
        (35, 0.2 + 0.8 * (2 + math.sqrt(2)) / 4),  # a quarter of the cosine: cos(pi / 4)
        (60, 0.2 + 0.8 / 2),  # half of it: cos(pi / 2)
        (85, 0.2 + 0.8 * (2 - math.sqrt(2)) / 4),
        (110, 0.2),
        (500, 0.2),
    ],
)
def test_the_learning_rate_at_points_that_can_be_worked_out_by_hand(step: int, factor: float) -> None:
    assert learning_rate(config(), step) == pytest.approx(0.1 * factor, rel=1e-12)


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert learning_rate(config(warmup=0), 0) == 0.1


@given(st.integers(1, 300), st.integers(0, 400), st.floats(0, 1), st.integers(0, 500))
def test_the_learning_rate_is_positive_and_never_above_the_highest(steps: int, warmup: int, end: float, step: int) -> None:
    rate = learning_rate(config(steps=steps, warmup=warmup, lr_end=end), step)
    assert 0 <= rate <= 0.1
    assert rate > 0 or end == 0


def test_a_restored_optimiser_goes_on_bit_for_bit() -> None:
    def steps(net: nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (net(torch.ones(2, 3)) ** 2).sum().backward()
            optimizer.step()

    whole = model()
    steps(whole, adamw(whole), 6)

    half = model()
    former = adamw(half)
    steps(half, former, 3)
    tensors, kept = optimizer_state(half, former)
    saved = {k: v.clone() for k, v in tensors.items()}
    other = model()
    other.load_state_dict(half.state_dict())
    optimizer = adamw(other)
    restore_optimizer(other, optimizer, saved, kept)
    steps(other, optimizer, 3)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), other.parameters(), strict=True))


def test_a_parameter_without_gradient_has_no_saved_state() -> None:
    net = model()
    optimizer = adamw(net)
    net[2].requires_grad_(False)
    (net(torch.ones(2, 3)) ** 2).sum().backward()
    optimizer.step()
    names = {n.removeprefix("optimizer.").rpartition(".")[0] for n in optimizer_state(net, optimizer)[0]}
    assert names == {"0.weight", "0.bias", "1.weight", "1.bias"}


@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_the_moving_average_equals_a_loop(decay: float) -> None:
    net = model()
    average = MovingAverage(net, decay)
    mine = {n: p.detach().numpy().astype(np.float64).copy() for n, p in net.named_parameters()}
    for k in range(1, 31):
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(0.9).add_(0.1 * k)
        average.update(net, k)
        kept = min(decay, (1 + k) / (10 + k))
        for name, p in net.named_parameters():
            mine[name] = kept * mine[name] + (1 - kept) * p.detach().numpy()
    for name, value in average.values.items():
        np.testing.assert_allclose(value.numpy(), mine[name], rtol=1e-5)


def test_the_moving_average_does_not_follow_by_reference() -> None:
    net = model()
    average = MovingAverage(net, 0.9)
    before = {n: v.clone() for n, v in average.values.items()}
    with torch.no_grad():
        for p in net.parameters():
            p.add_(5.0)
    assert all(torch.equal(v, before[n]) for n, v in average.values.items())
