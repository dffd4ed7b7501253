"""The state of the RSSM: deterministic part, stochastic part, the numbers it was drawn from, and who was observed."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class RSSMState(NamedTuple):
    """One state, with leading axes `[...]` (layout `scene`) or `[...,A]` (layout `agents`).

    Attributes:
        deter: Deterministic part `[...,D]`.
        stoch: Stochastic part: one-hot sample `[...,G,C]` (straight-through) or Gaussian sample `[...,S]` (reparameterised).
        stats: What fixes the distribution that `stoch` was drawn from: logits `[...,G,C]`, or `[...,2,S]` with means and raw
            deviations; zero in the initial state. A prior or imagined state holds the prior's.
        present: 1.0 where the agent was there at this step (where it takes part, in imagination), else 0.0, `[...]`. Only
            agents that are present are attended to by the others in the next step.
        has_started: 1.0 where the state has begun: something was observed since the last reset, or it was imagined; else 0.0, `[...]`.
            A state that has not begun is the initial one.
        motion: Where the agent is, for dynamics that attend by it, `[...,6]`: x, y, heading, vx, vy as seen (of a prior, as seen a step
            before; of an imagined state, as it was moved), and 1 where that is known. Otherwise of width 0.
    """

    deter: Tensor
    stoch: Tensor
    stats: Tensor
    present: Tensor
    has_started: Tensor
    motion: Tensor
