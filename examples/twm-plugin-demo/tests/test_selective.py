"""The selective recurrence equals a plain loop in NumPy, and its written-out gradient equals finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from twm_plugin_demo import selective
from twm_plugin_demo.selective import selective_scan

Case = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor]


def case(steps: int, *, rows: int = 3, states: int = 2, channels: int = 4, resets: bool = True) -> Case:
    """Arguments of `selective_scan` in double precision."""
    source = torch.Generator().manual_seed(steps)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source, dtype=torch.float64)

    u, step = draw(steps, rows, channels), draw(steps, rows, channels).exp()
    rate, start = draw(states, channels).exp(), draw(rows, states, channels)
    beta, gamma = draw(steps, rows, states), draw(steps, rows, states)
    keep = (torch.rand((steps, rows, 1), generator=source) < 0.7).double() if resets else None
    return u, step, rate, beta, gamma, keep, start


def plain(arguments: Case) -> tuple[np.ndarray, np.ndarray]:
    """y and h, one row, step, memory and channel at a time, from the equations in the README."""
    u, step, rate, beta, gamma, keep, start = (None if x is None else x.numpy() for x in arguments)
    steps, rows, channels = u.shape
    y, h = np.zeros(u.shape), np.zeros((steps, rows, len(rate), channels))
    for r in range(rows):
        for n in range(len(rate)):
            for e in range(channels):
                now = start[r, n, e]
                for t in range(steps):
                    if keep is not None and keep[t, r, 0] == 0:
                        now = 0.0
                    decay = np.exp(-rate[n, e] * step[t, r, e])
                    now = decay * now + (1 - decay) / rate[n, e] * beta[t, r, n] * u[t, r, e]
                    h[t, r, n, e] = now
                    y[t, r, e] += gamma[t, r, n] * now
    return y, h


@pytest.mark.parametrize("block", [1, 10**6], ids=["row by row", "all rows"])
@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("resets", [True, False])
def test_it_is_the_loop(monkeypatch: pytest.MonkeyPatch, block: int, steps: int, resets: bool) -> None:
    """Whatever rows are worked on together."""
    monkeypatch.setattr(selective, "BLOCK", block)
    arguments = case(steps, resets=resets)
    for got, wanted in zip(selective_scan(*arguments), plain(arguments), strict=True):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("block", [1, 10**6], ids=["row by row", "all rows"])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("resets", [True, False])
def test_its_gradient_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch, block: int, steps: int, resets: bool) -> None:
    """With respect to every argument but `keep`, through both results and through each alone."""
    monkeypatch.setattr(selective, "BLOCK", block)
    arguments = [x if x is None or i == 5 else x.requires_grad_() for i, x in enumerate(case(steps, resets=resets))]
    for pick in (lambda both: both, lambda both: both[0], lambda both: both[1]):
        assert torch.autograd.gradcheck(lambda *xs, pick=pick: pick(selective_scan(*xs)), arguments)
