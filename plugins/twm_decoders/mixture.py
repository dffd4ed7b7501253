"""The mixture state of an agent: several decoded courses, each with a spread, and how probable each of them is.

    p(x) = sum_m pi_m N(x; loc_m, std_m)        pi = softmax(mode_logits)

in the frame of each mode's own heading. In a rollout a mode is a whole trajectory: the probabilities of an agent are the same at every
step, and a drawn future stays with the mode it drew. Chai, Sapp, Bansal & Anguelov, "MultiPath: multiple probabilistic anchor
trajectory hypotheses for behavior prediction", 2019, without its fixed anchors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from twm_core.nn.distributions import Distribution, draw_class, likeliest
from twm_decoders.gaussian import GaussianMotion, gaussian_log_prob
from twm_decoders.kinematics import difference
from twm_decoders.noise import Memory


class MixtureMotion(Distribution):
    """A state (x, y, heading, vx, vy) from one of `M` Gaussian modes.

    Args:
        modes: States of the modes, `[...,M,5]`, world frame.
        heading: Heading of each mode's frame, `[...,M]`.
        scale: Fixed unit of `error`, broadcastable to `[...,5]`.
        std: Standard deviations in these frames, `[...,M,5]`, positive.
        mode_logits: Log-probabilities of the modes up to a constant, `[...,M]`.
        memory: How errors of consecutive steps hang together, for leading axes `[...,H,A]`; where it is given, modes are drawn once for
            all steps. None where entries are independent.

    Attributes:
        modes: As above; what a winner-takes-all loss compares with the truth.
        mode_logits: As above; what it trains to name the winner.
    """

    stochastic = True

    def __init__(
        self, modes: Tensor, heading: Tensor, scale: Tensor, std: Tensor, mode_logits: Tensor, *, memory: Memory | None = None
    ) -> None:
        self.modes = modes
        self.heading = heading
        self.scale = scale
        self.std = std
        self.mode_logits = mode_logits
        self.memory = memory

    @property
    def mean(self) -> Tensor:
        """The state `[...,5]` averaged over the modes by probability; headings as directions."""
        p = self.mode_logits.softmax(dim=-1)
        x, y, h, vx, vy = self.modes.unbind(-1)
        average = [(p * part).sum(dim=-1) for part in (x, y, vx, vy)]
        return torch.stack([*average[:2], _direction(p, h), *average[2:]], dim=-1)

    @property
    def mode(self) -> Tensor:
        """The state `[...,5]` of the most probable mode."""
        index, certain = likeliest(self.mode_logits)
        return _pick(self.modes, index) * certain.unsqueeze(-1)

    def error(self, value: Tensor) -> Tensor:
        """`value - mean` in the frame of the modes' mean heading, heading the short way round, in units of `scale`."""
        return difference(value, self.mean, _direction(self.mode_logits.softmax(dim=-1), self.heading)) / self.scale

    def mode_log_prob(self, value: Tensor) -> Tensor:
        """Log-density of a state `[...,5]` in each mode, `[...,M]`, without the modes' probabilities.

        Of a whole trajectory with `H` at axis d the log-density is `logsumexp_M(log_softmax(mode_logits) + sum_H mode_log_prob)`, to
        the extent that the errors of its steps are independent.
        """
        return gaussian_log_prob(difference(value.unsqueeze(-2), self.modes, self.heading), self.std)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of each step's state by itself: logsumexp over the modes."""
        return torch.logsumexp(self.mode_logits.log_softmax(dim=-1) + self.mode_log_prob(value), dim=-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """A state `[...,5]`: a mode by inverse CDF, then its noise. Gradient reaches the drawn mode, not the probabilities."""
        logits = self.mode_logits.detach()
        if self.memory is not None:
            logits = logits[..., :1, :, :]  # ... 1 A M
        index, certain = draw_class(logits.softmax(dim=-1), generator)
        drawn = index.expand(self.heading.shape[:-1])

        def take(x: Tensor) -> Tensor:
            return _pick(x, drawn)

        heading = self.heading.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
        memory = None if self.memory is None else self.memory.map(take)
        motion = GaussianMotion(take(self.modes), heading, self.scale, take(self.std), memory=memory).sample(generator)
        return motion * certain.unsqueeze(-1)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """As in `Distribution`; an index may take steps apart, so the result draws every entry by itself."""
        scale = self.scale.expand(*self.modes.shape[:-2], self.modes.shape[-1])
        return type(self)(function(self.modes), function(self.heading), function(scale), function(self.std), function(self.mode_logits))

    def detach(self) -> Self:
        """Without gradient; steps still hang together."""
        found = self.map(Tensor.detach)
        found.memory = None if self.memory is None else self.memory.map(Tensor.detach)
        return found


def _pick(x: Tensor, index: Tensor) -> Tensor:
    """Entry `index` `[...]` of the modes of `[...,M,5]`."""
    return x.gather(-2, index[..., None, None].expand(*index.shape, 1, x.shape[-1])).squeeze(-2)


def _direction(weight: Tensor, angle: Tensor) -> Tensor:
    """Mean direction over the last axis, in (-pi, pi]."""
    s, c = (weight * angle.sin()).sum(dim=-1), (weight * angle.cos()).sum(dim=-1)
    # Directions that cancel have no mean; 0 is as good as any, and atan2 has no gradient to give there.
    known = (s.square() + c.square()) > 1e-12
    return torch.atan2(torch.where(known, s, 0), torch.where(known, c, 1))
