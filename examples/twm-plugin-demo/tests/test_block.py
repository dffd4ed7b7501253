"""A layer equals its equations, written out in NumPy one row and step at a time."""

from __future__ import annotations

import numpy as np
import torch

from twm_plugin_demo.block import Block, Memory
from twm_plugin_demo.config import SelectiveSSMConfig

STEPS, ROWS = 11, 3


def layer() -> tuple[Block, dict[str, np.ndarray]]:
    """A layer with parameters off their initial values, and these parameters in double precision."""
    torch.manual_seed(0)
    block = Block(SelectiveSSMConfig(width=6, states=3, conv=3))
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return block, {name: p.detach().double().numpy() for name, p in block.named_parameters()}


def silu(x: np.ndarray) -> np.ndarray:
    """x sigmoid(x)."""
    return x / (1 + np.exp(-x))


def plain(p: dict[str, np.ndarray], x: np.ndarray, keep: np.ndarray, hidden: np.ndarray, recent: np.ndarray) -> np.ndarray:
    """Outputs `[T,W]` of one row; `hidden` `[N,E]`, `recent` `[conv-1,E]`."""
    states, channels = hidden.shape
    rate = np.exp(p["log_rate"].reshape(states, channels))
    outputs = []
    for t in range(len(x)):
        if keep[t] == 0:
            hidden, recent = np.zeros_like(hidden), np.zeros_like(recent)
        normed = x[t] / np.sqrt(np.mean(x[t] ** 2) + 1e-5) * p["norm.weight"]
        both = p["into.weight"] @ normed
        value, gate = both[:channels], both[channels:]
        window = np.concatenate((value[None], recent))
        u = silu(sum(kernel * seen for kernel, seen in zip(p["kernel"], window, strict=True)) + p["offset"])
        chosen = p["select.weight"] @ u
        rank, beta, gamma = chosen[: -2 * states], chosen[-2 * states : -states], chosen[-states:]
        step = np.log1p(np.exp(p["step.weight"] @ rank + p["step.bias"]))
        decay = np.exp(-rate * step)
        hidden = decay * hidden + (1 - decay) / rate * np.outer(beta, u)
        outputs.append(x[t] + p["out.weight"] @ ((gamma @ hidden + p["skip"] * u) * silu(gate)))
        recent = window[:-1]
    return np.stack(outputs)


def test_a_sequence_with_resets_is_the_equations_step_by_step() -> None:
    """Also the memory that is carried in counts, until the first reset."""
    block, parameters = layer()
    source = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=source)

    x, memory = draw(STEPS, ROWS, 6), Memory(draw(ROWS, 3, 12), draw(ROWS, 2, 12))
    keep = torch.ones(STEPS, ROWS, 1)
    keep[0, 1] = keep[4, 2] = keep[5, 2] = keep[7, 0] = 0
    got, _ = block(x, keep, memory)
    for row in range(ROWS):
        wanted = plain(parameters, x[:, row].numpy(), keep[:, row, 0].numpy(), memory.hidden[row].numpy(), memory.recent[row].numpy())
        np.testing.assert_allclose(got[:, row].detach().numpy(), wanted, rtol=2e-5, atol=2e-5)


def test_fresh_step_sizes_lie_in_the_range_that_was_asked_for() -> None:
    """softplus(bias) is what a channel steps by before training."""
    block = Block(SelectiveSSMConfig(step_min=0.02, step_max=0.5))
    size = torch.nn.functional.softplus(block.step.bias.detach())
    assert 0.0199 < float(size.min()) < 0.03
    assert 0.35 < float(size.max()) < 0.5001
