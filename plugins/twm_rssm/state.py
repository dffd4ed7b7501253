"""The state of the RSSM: deterministic part, stochastic part, the logits it was drawn from, and who was observed."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class RSSMState(NamedTuple):
    """One state, with leading axes `[...]` (layout `scene`) or `[...,A]` (layout `agents`).

    Attributes:
        deter: Deterministic part `[...,D]`.
        stoch: One-hot sample `[...,G,C]`, straight-through; all zero in the initial state.
        logits: Raw logits `[...,G,C]` that `stoch` was drawn from; a prior or imagined state holds the prior's.
        present: 1.0 where the agent was observed at this step (where it takes part, in imagination), else 0.0, `[...]`. Only
            agents that are present are attended to by the others in the next step.
    """

    deter: Tensor
    stoch: Tensor
    logits: Tensor
    present: Tensor
