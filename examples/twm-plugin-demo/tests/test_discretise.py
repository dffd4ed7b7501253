"""The zero-order hold is the solution of its differential equation."""

from __future__ import annotations

import math

import numpy as np
import torch

from twm_plugin_demo.discretise import zero_order_hold


def factors(step: float, rate: float) -> tuple[float, float]:
    """decay and gain of one memory, in double precision."""
    decay, gain = zero_order_hold(torch.tensor([step], dtype=torch.float64), torch.tensor([[rate]], dtype=torch.float64))
    return float(decay), float(gain)


def test_it_is_what_small_steps_of_runge_kutta_arrive_at() -> None:
    """h' = x - r h, integrated numerically with x held constant."""
    step, rate, x, h, pieces = 0.7, 2.5, 1.3, -0.4, 1000

    def slope(value: float) -> float:
        return x - rate * value

    decay, gain = factors(step, rate)
    wanted, d = h, step / pieces
    for _ in range(pieces):
        one = slope(wanted)
        two = slope(wanted + d / 2 * one)
        three = slope(wanted + d / 2 * two)
        wanted += d / 6 * (one + 2 * two + 2 * three + slope(wanted + d * three))
    np.testing.assert_allclose(decay * h + gain * x, wanted, rtol=1e-10)


def test_two_half_steps_are_one_step() -> None:
    """With the same input all along: decay is multiplied, and the first gain decays."""
    (decay, gain), (half, part) = factors(0.9, 3.0), factors(0.45, 3.0)
    np.testing.assert_allclose([half * half, half * part + part], [decay, gain], rtol=1e-14)


def test_both_factors_stay_within_their_limits() -> None:
    """gain is the step itself where the rate hardly matters, and 1 / rate after a long step; float32 keeps its digits."""
    step, rate = torch.tensor([1e-6, 1e-3, 50.0]), torch.tensor([[0.01], [4.0]]).expand(2, 3)
    decay, gain = zero_order_hold(step, rate)
    assert decay.shape == gain.shape == (2, 3)
    for n, r in enumerate((0.01, 4.0)):
        for e, d in enumerate((1e-6, 1e-3, 50.0)):
            np.testing.assert_allclose(float(decay[n, e]), math.exp(-r * d), rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(float(gain[n, e]), -math.expm1(-r * d) / r, rtol=1e-5)
