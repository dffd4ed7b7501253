"""What the decoder `modes` gives: several whole futures of an agent, with a spread and a probability each.

    p(x_h) = sum_k pi_k N(x_h; loc_k,h, std_k,h^2 I)        pi = softmax(mode_logits)

over positions x_h. A mode is a whole trajectory: its probability is the same at every step, and a drawn future stays with the mode it drew.
Headings and velocities follow from the positions and have no density of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from twm_core.nn.distributions import Distribution, draw_class, likeliest

_LOG_TWO_PI = math.log(2 * math.pi)


class FutureModes(Distribution):
    """States (x, y, heading, vx, vy) of `K` futures at `H` steps.

    Args:
        modes: `[B,1,H,A,K,5]`, world frame.
        std: Standard deviation of the position along any direction, metres, `[B,1,H,A,K]`.
        mode_logits: Log-probabilities of the futures up to a constant, the same at every step, `[B,1,H,A,K]`.
        centre: States of the single future that is nearest to the truth on average, `[B,1,H,A,5]`; no part of the density.

    Attributes:
        modes: As above.
        mode_logits: As above.
        centre: As above.
    """

    stochastic = True

    def __init__(self, modes: Tensor, std: Tensor, mode_logits: Tensor, centre: Tensor) -> None:
        self.modes = modes
        self.std = std
        self.mode_logits = mode_logits
        self.centre = centre

    @property
    def states(self) -> Tensor:
        """The futures as futures of a forecast, `[B,K,H,A,5]`."""
        return self.modes[:, 0].movedim(-2, 1)

    @property
    def logits(self) -> Tensor:
        """Log-probabilities of the futures up to a constant, `[B,K,A]`."""
        return self.mode_logits[:, 0, 0].movedim(-1, 1)

    @property
    def mean(self) -> Tensor:
        """The centre, `[...,5]`: the answer where a single future is asked for."""
        return self.centre

    @property
    def mode(self) -> Tensor:
        """The state `[...,5]` of the most probable future."""
        index, certain = likeliest(self.mode_logits)
        return _pick(self.modes, index) * certain.unsqueeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of the position of a state `[...,5]`, each step by itself, in nats."""
        squared = (value[..., None, :2] - self.modes[..., :2]).square().sum(dim=-1)
        each = -0.5 * squared / self.std.square() - 2 * self.std.log() - _LOG_TWO_PI
        return torch.logsumexp(self.mode_logits.log_softmax(dim=-1) + each, dim=-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """States `[...,5]`: a future for each agent by inverse CDF, then an error of its position that grows over the steps as `std` does.

        Steps of one future err in the same direction; the gradient reaches the drawn future, not the probabilities.
        """
        logits = self.mode_logits.detach()[:, :, :1]  # B 1 1 A K
        probs = logits.softmax(dim=-1)
        index, certain = draw_class(probs, generator)
        drawn = index.expand(self.std.shape[:-1])
        state = _pick(self.modes, drawn) * certain.unsqueeze(-1)
        noise = torch.randn((*logits.shape[:-1], 2), generator=generator, device=probs.device, dtype=probs.dtype)
        error = noise * self.std.gather(-1, drawn.unsqueeze(-1))
        return torch.cat([state[..., :2] + error, state[..., 2:]], dim=-1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        return type(self)(function(self.modes), function(self.std), function(self.mode_logits), function(self.centre))


def _pick(x: Tensor, index: Tensor) -> Tensor:
    """Entry `index` `[...]` of the futures of `[...,K,5]`."""
    return x.gather(-2, index[..., None, None].expand(*index.shape, 1, x.shape[-1])).squeeze(-2)
