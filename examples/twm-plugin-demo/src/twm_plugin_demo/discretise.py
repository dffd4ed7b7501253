"""Zero-order hold: the exact solution, over one step, of linear memories whose input is held constant.

A memory with rate r > 0 follows h'(s) = -r h(s) + x. Over a step of size d with constant x

    h(d) = decay h(0) + gain x          decay = exp(-r d)          gain = (1 - exp(-r d)) / r

Both stay between 0 and their limits (1, and the smaller of d and 1 / r), however long a step the network chooses. This is the
discretisation that Gu & Dao (2023, arXiv 2312.00752, section 2) define, with A = -r; the common shortcut gain = d is not bounded so.

Maps step sizes `[...,E]` and rates `[N,E]` to factors `[...,N,E]`. It holds no parameters and knows neither time nor resets.
"""

from __future__ import annotations

import torch
from torch import Tensor


def zero_order_hold(step: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of one step.

    Args:
        step: Step sizes d > 0, `[...,E]`, without unit: 1 / rate is how many of them a memory lasts.
        rate: Rates r > 0, `[N,E]`.

    Returns:
        decay and gain, `[...,N,E]`.
    """
    lost = torch.expm1(-step.unsqueeze(-2) * rate)  # expm1 keeps the digits of gain where r d is small
    return lost + 1, lost * (-1 / rate)
