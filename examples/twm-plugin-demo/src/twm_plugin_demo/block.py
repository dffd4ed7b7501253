"""One layer of a selective state-space model (Gu & Dao, "Mamba", 2023, arXiv 2312.00752), as a function of a sequence and a memory.

With E channels of N memories each, for every row on its own:

    v_t, g_t = into(norm(x_t))                                  two halves, E each
    u_t = silu(sum_j kernel_j v_{t-j} + offset)                 causal convolution, one kernel for each channel
    d_t, B_t, C_t = softplus(step(rank(u_t))), beta(u_t), gamma(u_t)        the selection: E, N and N numbers that depend on the input
    h_t = decay(d_t) h_{t-1} + gain(d_t) B_t u_t                N x E memories, see `discretise`
    y_t = C_t . h_t + skip u_t
    x_t + out(y_t silu(g_t))

A large step d_t forgets and takes in, a small one keeps: that is how the network selects. Only the line of h needs the step before, and it
is linear: everything else is one product for the whole sequence, and h is one scan (`selective`, `scan`).

Maps `[T,R,W]` to `[T,R,W]`, time-major, rows R independent. `keep` 0 at a step drops h
and all v before it, exactly; why it is 0 is not known here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_plugin_demo.config import SelectiveSSMConfig
from twm_plugin_demo.selective import selective_scan


class Memory(NamedTuple):
    """What one layer carries from step to step, float32, with leading axes `[R]` or `[T,R]`.

    Attributes:
        hidden: h, `[...,N,E]`.
        recent: v of the last steps, newest first, `[...,conv-1,E]`.
    """

    hidden: Tensor
    recent: Tensor


class Block(nn.Module):
    """A layer.

    Args:
        config: Sizes.
    """

    def __init__(self, config: SelectiveSSMConfig) -> None:
        super().__init__()
        channels, self.states = config.expand * config.width, config.states
        self.norm = nn.RMSNorm(config.width, eps=1e-5)
        self.into = nn.Linear(config.width, 2 * channels, bias=False)
        bound = config.conv**-0.5
        self.kernel = nn.Parameter(torch.empty(config.conv, channels).uniform_(-bound, bound))
        self.offset = nn.Parameter(torch.zeros(channels))
        self.rank = math.ceil(config.width / 16)
        self.select = nn.Linear(channels, self.rank + 2 * config.states, bias=False)
        self.step = nn.Linear(self.rank, channels)
        # Rates 1 .. N in every channel. One axis, because twm decays the weights of matrices, and a rate must not be drawn towards 1.
        self.log_rate = nn.Parameter(torch.arange(1, config.states + 1).float().log().repeat_interleave(channels))
        self.skip = nn.Parameter(torch.ones(channels))
        self.out = nn.Linear(channels, config.width, bias=False)
        with torch.no_grad():  # the bias alone gives step sizes that are spread evenly over their logarithms
            low, high = math.log(config.step_min), math.log(config.step_max)
            size = torch.empty(channels).uniform_(low, high).exp()
            self.step.bias.copy_(size + torch.log(-torch.expm1(-size)))  # the inverse of softplus

    def forward(self, x: Tensor, keep: Tensor | None, memory: Memory) -> tuple[Tensor, Memory]:
        """Run over `T` inputs of each row.

        Args:
            x: Inputs, `[T,R,W]`.
            keep: 1 where the step before counts, 0 where a row starts anew, `[T,R,1]`; None keeps everything.
            memory: What was carried before the first input, `[R,...]`.

        Returns:
            Outputs `[T,R,W]`, and the memory after every input, `[T,R,...]`.
        """
        value, gate = self.into(self.norm(x)).chunk(2, dim=-1)
        taps = _taps(value.float(), keep, memory.recent)  # [T,R,conv,E]
        u = F.silu((taps * self.kernel).sum(dim=-2) + self.offset)
        rank, beta, gamma = self.select(u).split((self.rank, self.states, self.states), dim=-1)
        step = F.softplus(self.step(rank).float())
        rate = self.log_rate.view(self.states, -1).exp()
        read, hidden = selective_scan(u, step, rate, beta.float(), gamma.float(), keep, memory.hidden)
        return x + self.out((read + self.skip * u) * F.silu(gate)), Memory(hidden, taps[..., :-1, :])


def _taps(value: Tensor, keep: Tensor | None, recent: Tensor) -> Tensor:
    """What the convolution sees at every step, newest first, zero where a row has started since: `[T,R,conv,E]`.

    Tap j + 1 of a step is tap j of the step before, if that counts, so that no step is visited on its own.

    Args:
        value: v, `[T,R,E]`.
        keep: `[T,R,1]` or None.
        recent: v before the first step, newest first, `[R,conv-1,E]`.
    """
    if len(value) == 1:
        earlier = recent.unsqueeze(0)
        return torch.cat((value.unsqueeze(-2), earlier if keep is None else earlier * keep.unsqueeze(-1)), dim=-2)
    taps = [value]
    for before in recent.unbind(-2):
        shifted = torch.cat((before.unsqueeze(0), taps[-1][:-1]))
        taps.append(shifted if keep is None else shifted * keep)
    return torch.stack(taps, dim=-2)
