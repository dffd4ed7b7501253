"""Both orders of the linear recurrence equal a plain loop in NumPy, forwards and backwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from twm_plugin_demo.scan import SERIAL_FROM, in_parallel_, in_series_, scan_

ORDERS = [in_series_, in_parallel_, scan_]


def plain(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The recurrence in double precision, from a zero start."""
    h, rows = np.zeros(b.shape[1:]), []
    for factor, addition in zip(a, b, strict=True):
        h = factor * h + addition
        rows.append(h)
    return np.stack(rows)


def sequence(steps: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors between 0 and 1, among them exact zeros, and additions."""
    source = np.random.default_rng(steps)
    return source.uniform(0, 1, (steps, size)) * (source.uniform(size=(steps, size)) < 0.8), source.normal(size=(steps, size))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 33, 200])
def test_forwards_it_is_the_loop(order, steps: int) -> None:
    """h_t = a_t h_{t-1} + b_t, whatever the number of steps is divisible by."""
    a, b = sequence(steps, 5)
    h = torch.tensor(b)
    order(torch.tensor(a), h)
    np.testing.assert_allclose(h.numpy(), plain(a, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 33])
def test_backwards_it_is_the_loop_over_the_reversed_sequence(order, steps: int) -> None:
    """h_t = a_{t+1} h_{t+1} + b_t: in reversed time the factor of a step is that of its later neighbour."""
    a, b = sequence(steps, 5)
    h = torch.tensor(b)
    order(torch.tensor(a), h, backwards=True)
    wanted = plain(np.concatenate((a[:1], a[:0:-1])), b[::-1])[::-1]
    np.testing.assert_allclose(h.numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_a_zero_forgets_even_what_is_not_finite_nearby() -> None:
    """Nothing of the past is left after a factor of zero, and long products neither overflow nor divide."""
    a, b = torch.full((400, 1), 1e-3), torch.ones(400, 1)
    a[200], b[:200] = 0.0, 1e30
    for order in ORDERS:
        h = b.clone()
        order(a, h)
        assert torch.isfinite(h).all()
        torch.testing.assert_close(h[200:], torch.full((200, 1), 1 / (1 - 1e-3)), rtol=2e-3, atol=0)
        assert h[200] == 1


def test_long_slices_and_short_ones_are_run_in_both_orders() -> None:
    """On both sides of the threshold the result is that of the plain loop."""
    for size in (SERIAL_FROM - 1, SERIAL_FROM):
        a, b = sequence(9, size)
        h = torch.tensor(b)
        scan_(torch.tensor(a), h)
        np.testing.assert_allclose(h.numpy(), plain(a, b), rtol=1e-12, atol=1e-12)
