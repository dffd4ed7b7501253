"""What goes on acting at every step of the kinematic parametrisation: the residuals that the last known motion would cause by itself.

    constant-velocity       nothing
    constant-acceleration   the acceleration, along and across the agent:  dv = a dt, dp = a dt^2 / 2
    constant-turn           the yaw rate
    gated-turn              the yaw rate, the longitudinal acceleration and, where the data has leaders, an acceleration of
                            (leader's speed - own speed) / 1 s, each times a gate in (0, 1) that the decoder sets for every step

The last is linear car following (Chandler, Herman & Montroll, "Traffic dynamics: studies in car following", 1958), whose rate the gate
learns. Gates shut out noisy yaw rates and let real curves through.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twm_core.nn.interfaces import Anchor
from twm_core.specs import KeySpec
from twm_decoders.config import LEADER, READ, TURN, Prior
from twm_decoders.kinematics import accelerating, speeding, turn, turning


class Drift:
    """The terms of a prior.

    Args:
        prior: Its name.
        state: Spec of `agents.state`.

    Attributes:
        gates: How many gates the decoder sets; without any, all terms act in full.
    """

    def __init__(self, *, prior: Prior, state: KeySpec) -> None:
        self.prior = prior
        self.read = {n: state.index(n) for n in READ[prior]}
        self.gated = prior == "gated-turn"
        leads = any(f.name == LEADER for f in state.features)
        self.leader = state.index(LEADER) if leads and self.gated else None
        self.gates = (2 + (self.leader is not None)) if self.gated else 0

    def terms(self, motion: Tensor, anchor: Anchor) -> tuple[Tensor, ...]:
        """Residuals of one step, `[...,A,5]` each; as many as there are gates, where there are gates.

        Args:
            motion: x, y, heading, vx, vy at the anchor, 0 where an agent does not exist, `[...,A,5]`.
            anchor: The known situation.
        """
        if not self.read:
            return ()
        known = {n: torch.where(anchor.exists, anchor.state[..., i], 0) for n, i in self.read.items()}
        _, _, h, vx, vy = motion.unbind(-1)
        ax, ay = turn(known[TURN[0]], known[TURN[1]], -h)
        dt = anchor.dt[..., None]
        if self.prior == "constant-acceleration":
            return (accelerating(torch.stack([ax, ay], dim=-1), dt),)
        turned = turning(torch.stack(turn(vx, vy, -h), dim=-1), known[TURN[2]], dt)
        if not self.gated:
            return (turned,)
        terms = (turned, speeding(ax, dt))
        if self.leader is None:
            return terms
        return (*terms, speeding(torch.where(anchor.exists, anchor.state[..., self.leader], 0), dt))
