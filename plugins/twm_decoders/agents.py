"""The agent decoder: latent features and an anchor to the next state of every agent, and to whether it still exists.

An MLP emits, for each agent, a residual to constant velocity in the agent's own frame (see `motion.py`), in units of the residuals'
standard deviation over the training data, and an existence logit. With the priors that turn, the last known yaw rate (and, behind
learned gates, the last longitudinal acceleration and, where the data has leaders, an acceleration proportional to the leader's relative
speed: linear car following, Chandler, Herman & Montroll, 1958) go on acting at every step, as far as the gates of that step let them
through: noisy yaw rates are shut out, real curves are not learned anew.

Two forms, by the layout of the latent:

* agents: the features of an agent decode that agent. A rollout runs the MLP once over all steps, then integrates.
* scene: there is one latent for all, so each agent asks with its own known motion (own-frame velocity, and position and heading
  relative to the mean of the scene). A rollout feeds every decoded state back as the next question.

Both are permutation-equivariant, and turn and shift with the world.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.nn.distributions import Bernoulli, Distribution
from twm_core.nn.interfaces import Anchor, Decoder, Features
from twm_core.nn.normaliser import Normaliser
from twm_core.specs import DecoderGiven, KeySpec
from twm_decoders.config import LEADER, MOTION, TURN, AgentsConfig
from twm_decoders.motion import RESIDUALS, Motion, integrate, residual_between, speeding, turn, turning

STATE, EXISTS = "agents.state", "agents.exists"
_QUERY = 7
_SHUT = -1.5


class _Drift(NamedTuple):
    """Residuals of one step, `[...,A,5]`, that the last known yaw rate, acceleration and relative speed of the leader would cause."""

    turning: Tensor
    speeding: Tensor
    following: Tensor


class AgentsDecoder(Decoder):
    """See the module.

    Args:
        config: Sizes and options.
        state: Spec of `agents.state`.
        width: Width of the features that are read.
        pooled: Whether they are a scene's (True) or each agent's.
    """

    def __init__(self, *, config: AgentsConfig, state: KeySpec, width: int, pooled: bool) -> None:
        super().__init__()
        self.motion = [state.index(n) for n in MOTION]
        self.pooled = pooled
        self.existence = config.existence
        self.dropout = config.dropout
        self.scale = Normaliser(RESIDUALS, floor=1e-4)
        self.query = Normaliser(_QUERY) if pooled else None
        widths = [width + (_QUERY if pooled else 0), *[config.width] * config.layers]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.prior = config.prior
        self.turn = [state.index(n) for n in TURN] if config.prior != "constant-velocity" else []
        follows = any(f.name == LEADER for f in state.features)
        self.leader = state.index(LEADER) if follows and config.prior == "gated-turn" else None
        self.gates = 2 + (self.leader is not None) if config.prior == "gated-turn" else 0
        self.head = nn.Linear(config.width, RESIDUALS + int(config.existence) + self.gates)
        if self.gates:
            # Nearly shut at first: where yaw rates are noise, following them is far worse than constant velocity.
            nn.init.constant_(self.head.bias[-self.gates :], _SHUT)

    def _emit(self, x: Tensor, drift: _Drift | None) -> tuple[Tensor, Tensor | None]:
        for layer in self.hidden:
            x = F.dropout(F.silu(layer(x)), self.dropout, self.training)
        out = self.head(x).float()
        residual = self.scale.std * out[..., :RESIDUALS]
        if drift is not None and self.gates:
            gate = out[..., -self.gates :].sigmoid()
            residual = (
                residual + gate[..., :1] * drift.turning + gate[..., 1:2] * drift.speeding + gate[..., 2:].sum(-1, True) * drift.following
            )
        elif drift is not None:
            residual = residual + drift.turning
        return residual, out[..., RESIDUALS] if self.existence else None

    def _drift(self, anchor: Anchor) -> _Drift | None:
        """What the last known yaw rate, acceleration and leader would do in every step, `[...,A,5]` each."""
        if not self.turn:
            return None
        _, _, h, vx, vy = self._known(anchor).unbind(-1)
        ax, ay, yaw_rate = torch.where(anchor.exists[..., None], anchor.state[..., self.turn], 0).unbind(-1)
        along, _ = turn(ax, ay, -h)
        velocity = torch.stack(turn(vx, vy, -h), dim=-1)
        dt = anchor.dt[..., None]
        # Linear car following: an acceleration of (leader's speed - own speed) / 1 s, which the gate scales down to its rate.
        closing = torch.zeros_like(along)
        if self.leader is not None:
            closing = torch.where(anchor.exists, anchor.state[..., self.leader], 0)
        return _Drift(turning(velocity, yaw_rate, dt), speeding(along, dt), speeding(closing, dt))

    def _ask(self, motion: Tensor, exists: Tensor) -> Tensor:
        """What an agent of a pooled latent asks with: `[...,A,7]`, relative to the mean position and direction of the scene."""
        x, y, h, vx, vy = torch.where(exists[..., None], motion, 0).unbind(-1)
        many = exists.sum(dim=-1, keepdim=True).clamp_min(1)

        def mean(value: Tensor) -> Tensor:
            return (value * exists).sum(dim=-1, keepdim=True) / many

        # With headings that cancel exactly there is no direction; atan2(0, 0) is 0 and has no gradient to give.
        direction = torch.atan2(mean(h.sin()), mean(h.cos()).where(exists.any(dim=-1, keepdim=True), torch.ones_like(many))).detach()
        px, py = turn(x - mean(x), y - mean(y), -direction)
        ux, uy = turn(vx, vy, -h)
        asked = torch.stack([px, py, (h - direction).sin(), (h - direction).cos(), ux, uy, torch.hypot(ux, uy + 1e-6)], dim=-1)
        return torch.where(exists[..., None], asked, 0)

    def _inputs(self, features: Features, motion: Tensor, exists: Tensor) -> Tensor:
        if self.query is None:
            assert features.agents is not None
            return features.agents
        assert features.scene is not None
        asked = self.query(self._ask(motion, exists)).clamp(-10, 10)
        return torch.cat([features.scene.unsqueeze(-2).expand(*asked.shape[:-1], -1), asked], dim=-1)

    def _wrap_up(self, states: Tensor, heading: Tensor, logit: Tensor | None) -> dict[str, Distribution]:
        decoded: dict[str, Distribution] = {STATE: Motion(states, heading, self.scale.std)}
        if logit is not None:
            decoded[EXISTS] = Bernoulli(logit)
        return decoded

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        anchor = _needed(anchor)
        motion = self._known(anchor)
        residual, logit = self._emit(self._inputs(features, motion, anchor.exists), self._drift(anchor))
        dt = anchor.dt.expand(motion.shape[:-2])
        states = integrate(motion, residual.unsqueeze(-3), dt).squeeze(-3)
        return self._wrap_up(states, motion[..., 2], logit)

    def rollout(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        anchor = _needed(anchor)
        motion = self._known(anchor)[:, None]  # B 1 A 5
        dt = anchor.dt[:, None]
        if self.pooled:
            return self._rollout_fed_back(features, motion, anchor, dt)
        assert features.agents is not None
        drift = self._drift(anchor)
        if drift is not None:
            drift = _Drift(*(x[:, None, None] for x in drift))  # B 1 1 A 5
        residual, logit = self._emit(features.agents, drift)  # B S H A ...
        samples = residual.shape[1]
        motion = motion.expand(-1, samples, -1, -1)
        states = integrate(motion, residual, dt.expand(-1, samples))
        heading = torch.cat([motion[:, :, None, :, 2], states[:, :, :-1, :, 2]], dim=2)
        return self._wrap_up(states, heading, logit)

    def _rollout_fed_back(self, features: Features, motion: Tensor, anchor: Anchor, dt: Tensor) -> dict[str, Distribution]:
        assert features.scene is not None
        drift = self._drift(anchor)
        if drift is not None:
            drift = _Drift(*(x[:, None] for x in drift))  # B 1 A 5
        samples, steps = features.scene.shape[1:3]
        motion = motion.expand(-1, samples, -1, -1)
        exists, dt = anchor.exists[:, None].expand(-1, samples, -1), dt.expand(-1, samples)
        states: list[Tensor] = []
        headings: list[Tensor] = []
        logits: list[Tensor | None] = []
        for h in range(steps):
            residual, logit = self._emit(self._inputs(Features(features.scene[:, :, h], None), motion, exists), drift)
            headings.append(motion[..., 2])
            motion = integrate(motion, residual.unsqueeze(-3), dt).squeeze(-3)
            states.append(motion)
            logits.append(logit)
        joined = None if logits[0] is None else torch.stack([x for x in logits if x is not None], dim=2)
        return self._wrap_up(torch.stack(states, dim=2), torch.stack(headings, dim=2), joined)

    def _known(self, anchor: Anchor) -> Tensor:
        return torch.where(anchor.exists[..., None], anchor.state[..., self.motion], 0)

    def collect_statistics(self, batch: Batch) -> None:
        motion, exists = batch[STATE][..., self.motion], batch[EXISTS]
        both = exists[:, 1:] & exists[:, :-1]
        dt = batch["dt"][:, None].expand(-1, motion.shape[1] - 1)
        self.scale.update(residual_between(motion[:, :-1], motion[:, 1:], dt)[both])
        if self.query is not None:
            self.query.update(self._ask(motion, exists)[exists])


def _needed(anchor: Anchor | None) -> Anchor:
    if anchor is None:
        raise PluginError("decoder agents: decoding motion needs an anchor, got none", "pass the last known situation as Anchor")
    return anchor


def build(config: AgentsConfig, given: DecoderGiven) -> AgentsDecoder:
    """Build the decoder for the layout of the latent; agent features are preferred where there are both."""
    agents, scene = given.latent.agents, given.latent.scene
    pooled = agents is None
    width = scene if agents is None else agents
    assert width is not None
    return AgentsDecoder(config=config, state=given.seen.get(STATE), width=width, pooled=pooled)
