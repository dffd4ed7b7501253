"""The agent decoder: latent features and an anchor to the next state of every agent, and to whether it still exists.

An MLP emits, for each agent, five numbers (or, for absolute states, one for each continuous feature) in units of their deviation over
the training data, and an existence logit. What the numbers mean is a matter of the parametrisation (see `parametrisation.py`): residuals
to a kinematic prior (`prior.py`), changes, or states. Options add standard deviations (`gaussian.py`), several courses with a probability
each (`mixture.py`), and a small head of its own for the heading, which emits sine and cosine of the angle that is added.
`output_distributions.py` makes distributions of these outputs.

Two forms, by the layout of the latent:

* agents: the features of an agent decode that agent. A rollout runs the MLP once over all steps, then integrates.
* scene: there is one latent for all. Either each agent asks with its motion (`queries.py`); then a rollout feeds every decoded state
  back as the next question, for each course by itself. Or there are slots: the MLP reads the latent alone, once, and its heads emit the
  numbers of all slots side by side, `[...,D] -> [...,slots x outputs]`, of which agent `a` of the batch takes slot `a`. That is the
  decoder of the first Traffic World Models; it needs no feedback.

All but slots are permutation-equivariant; all but absolute states turn and shift with the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError, UsageError
from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Anchor, Decoder, Features
from twm_core.specs import DecoderSpecs, KeySpec
from twm_decoders.config import MOTION, AgentsConfig
from twm_decoders.output_distributions import (
    EXISTS,
    NUMBERS,
    STATE,
    HeadOutputs,
    blend,
    of_modes,
    own,
    rollout_distributions,
    step_distributions,
)
from twm_decoders.parametrisation import Trajectory, parametrisation
from twm_decoders.prior import Drift
from twm_decoders.queries import QUESTION, MotionQuery

_HEADING = MOTION.index("heading")
_ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU}
_SHUT = -1.5
_WIDEST = 4.0  # decoded deviations lie within e^4 of those of the training data, either way


class AgentsDecoder(Decoder):
    """See the module.

    Args:
        config: Sizes and options.
        state: Spec of `agents.state`.
        width: Width of the features that are read.
        pooled: Whether they are a scene's (True) or each agent's.
    """

    angles: Tensor

    def __init__(self, *, config: AgentsConfig, state: KeySpec, width: int, pooled: bool) -> None:
        super().__init__()
        names = config.decoded(state)
        angles = [state.features[state.index(n)].kind == "angle" for n in names]
        self.decoded = [state.index(n) for n in names]
        self.motion = self.decoded[:NUMBERS]
        self.numbers = len(names)
        self.known = len(state.features)
        self.pooled = pooled
        self.existence = config.existence
        self.dropout = config.dropout
        self.modes = config.modes if config.distribution == "mixture" else 1
        self.scale = parametrisation(config, angles=angles)
        self.register_buffer("angles", torch.tensor(angles[NUMBERS:], dtype=torch.bool), persistent=False)
        self.drift = Drift(prior=config.prior, state=state) if config.parametrisation == "kinematic" else None
        gates = self.drift.gates if self.drift is not None else 0
        self.query = MotionQuery() if pooled and config.queries == "motion" else None
        self.slots = config.slots if pooled and config.queries == "slots" else None
        sets, outputs = self.slots or 1, self.modes * self.numbers
        self.activation = _ACTIVATIONS[config.activation]()
        widths = [width + (QUESTION if self.query is not None else 0), *[config.width] * config.layers]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.head = nn.Linear(config.width, sets * (outputs + int(config.existence) + gates))
        if gates:
            # Nearly shut at first: where yaw rates are noise, following them is far worse than constant velocity.
            nn.init.constant_(self.head.bias.detach().view(sets, -1)[:, -gates:], _SHUT)
        self.angle: nn.Sequential | None = None
        if config.heading == "angle-head":
            small = max(8, config.width // 4)
            self.angle = nn.Sequential(
                nn.Linear(config.width, small), _ACTIVATIONS[config.activation](), nn.Linear(small, sets * 2 * self.modes)
            )
        self.spread = nn.Linear(config.width, sets * outputs) if config.distribution != "deterministic" else None
        self.choice = nn.Linear(config.width, sets * self.modes) if config.distribution == "mixture" else None

    def _emit(self, x: Tensor, terms: Sequence[Tensor], agents: int) -> HeadOutputs:
        """Run the MLP from the sums of its first layer, `[...,A,D]` or, for slots, `[...,1,D]`; `agents` is A.

        The `terms` are those of the prior, broadcastable to `[...,A,5]`.
        """
        x = F.dropout(self.activation(x), self.dropout, self.training)
        for layer in self.hidden[1:]:
            x = F.dropout(self.activation(layer(x)), self.dropout, self.training)
        out = self._say(self.head, x, agents)
        unit, numbers = self.scale.unit, self.modes * self.numbers
        delta = unit * self._each(out[..., :numbers])
        if self.angle is not None:
            sine, cosine = (unit[_HEADING] * self._each(self._say(self.angle, x, agents))).unbind(-1)
            turned = torch.atan2(sine, 1 + cosine).unsqueeze(-1)
            delta = torch.cat([delta[..., :_HEADING], turned, delta[..., _HEADING + 1 :]], dim=-1)
        gated = self.drift is not None and self.drift.gates > 0
        gates = out[..., -len(terms) :].sigmoid() if gated else None
        for i, term in enumerate(terms):
            by = term if gates is None else gates[..., i : i + 1] * term
            delta = delta + by.unsqueeze(-3)
        noise = None
        if self.spread is not None:
            noise = unit * (_WIDEST * (self._each(self._say(self.spread, x, agents)) / _WIDEST).tanh()).exp()
        return HeadOutputs(
            delta=delta,
            noise=noise,
            mode_logits=self._say(self.choice, x, agents) if self.choice is not None else None,
            exists=out[..., numbers] if self.existence else None,
        )

    def _say(self, head: nn.Module, x: Tensor, agents: int) -> Tensor:
        """What a head says of each agent, `[...,A,N]`."""
        out = head(x).float()
        if self.slots is None:
            return out
        return out.squeeze(-2).unflatten(-1, (self.slots, -1))[..., :agents, :]

    def _each(self, out: Tensor) -> Tensor:
        """`[...,A,M*N]` as `[...,M,A,N]`."""
        return out.unflatten(-1, (self.modes, -1)).movedim(-2, -3)

    def _read(self, features: Features) -> Tensor:
        """The features' share of the first layer: `[...,A,D]`, or `[...,1,D]`, computed once for all agents and courses, of a scene."""
        first = self.hidden[0]
        assert isinstance(first, nn.Linear)
        if not self.pooled:
            assert features.agents is not None
            return first(features.agents)
        assert features.scene is not None
        return F.linear(features.scene, first.weight[:, : features.scene.shape[-1]], first.bias).unsqueeze(-2)

    def _inputs(self, read: Tensor, motion: Tensor, exists: Tensor) -> Tensor:
        """Sums of the first layer `[...,A,D]`: what `_read` gave plus the queries' share."""
        first = self.hidden[0]
        assert isinstance(first, nn.Linear)
        if self.query is not None:
            return read + F.linear(self.query.ask(motion, exists), first.weight[:, -QUESTION:])
        return read

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        anchor = self._start(features, anchor)
        motion = self._known(anchor)
        x = self._inputs(self._read(features), motion, anchor.exists)
        outputs = self._emit(x, self._terms(motion, anchor), motion.shape[-2])
        dt = anchor.dt.expand(motion.shape[:-2])
        start = motion.unsqueeze(-3).expand(*motion.shape[:-2], self.modes, -1, -1)
        trajectory = self.scale.trajectory(start, outputs.delta.unsqueeze(-3), dt.unsqueeze(-1).expand(*dt.shape, self.modes))
        return step_distributions(
            Trajectory(trajectory.states.squeeze(-3), trajectory.heading.squeeze(-2)), outputs, self.scale.unit, self.angles
        )

    def rollout(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        anchor = self._start(features, anchor, rollout=True)
        motion = self._known(anchor)  # B A 5
        terms = self._terms(motion, anchor)
        read = features.scene if self.pooled else features.agents
        assert read is not None
        samples = read.shape[1]
        dt = anchor.dt[:, None].expand(-1, samples)  # B S
        start = motion[:, None, None].expand(-1, samples, self.modes, -1, -1)  # B S M A 5
        if self.query is not None:
            trajectory, outputs = self._feed_back(features, start, anchor, terms, dt)
        else:
            x = self._inputs(self._read(features), motion, anchor.exists)  # B S H A D
            outputs = self._emit(x, [term[:, None, None] for term in terms], motion.shape[-2])  # B S H M A ...
            outputs = outputs._replace(
                delta=outputs.delta.movedim(3, 2), noise=None if outputs.noise is None else outputs.noise.movedim(3, 2)
            )
            trajectory = self.scale.trajectory(start, outputs.delta, of_modes(dt, self.modes))
        return rollout_distributions(trajectory, outputs, self.scale, self.angles, dt)

    def _feed_back(
        self, features: Features, motion: Tensor, anchor: Anchor, terms: Sequence[Tensor], dt: Tensor
    ) -> tuple[Trajectory, HeadOutputs]:
        """Step after step, each course asking with its own last state; what is said has the axes of `rollout`."""
        read = self._read(features).unsqueeze(3)  # B S H 1 1 D
        exists = anchor.exists[:, None, None].expand(motion.shape[:-1])
        terms = [x[:, None, None] for x in terms]
        states: list[Tensor] = []
        headings: list[Tensor] = []
        outputs: list[HeadOutputs] = []
        for h in range(read.shape[2]):
            step = self._emit(self._inputs(read[:, :, h], motion, exists), terms, motion.shape[-2])
            # Trajectory m has asked, so only what is said of course m counts: B S M M A 5 to B S M A 5.
            step = step._replace(delta=own(step.delta), noise=None if step.noise is None else own(step.noise))
            trajectory = self.scale.trajectory(motion, step.delta.unsqueeze(-3), of_modes(dt, self.modes))
            state = trajectory.states.squeeze(-3)
            motion = state[..., :NUMBERS]
            states.append(state)
            headings.append(trajectory.heading.squeeze(-2))
            outputs.append(step)
        first = outputs[0]
        mode_logits = None if first.mode_logits is None else first.mode_logits[:, :, :1]  # all courses ask the same at first: B S 1 A M
        joined = HeadOutputs(
            delta=torch.stack([s.delta for s in outputs], dim=3),
            noise=torch.stack([s.noise for s in outputs if s.noise is not None], dim=3) if first.noise is not None else None,
            mode_logits=mode_logits,
            exists=torch.stack([blend(s.exists, mode_logits) for s in outputs if s.exists is not None], dim=2) if self.existence else None,
        )
        return Trajectory(torch.stack(states, dim=3), torch.stack(headings, dim=3)), joined

    def _known(self, anchor: Anchor) -> Tensor:
        return torch.where(anchor.exists[..., None], anchor.state[..., self.motion], 0)

    def _terms(self, motion: Tensor, anchor: Anchor) -> tuple[Tensor, ...]:
        return () if self.drift is None else self.drift.terms(motion, anchor)

    def _start(self, features: Features, anchor: Anchor | None, *, rollout: bool = False) -> Anchor:
        """The anchor; absolute states that nobody has to ask for do without one.

        Raises:
            PluginError: There is no anchor where one is needed.
            UsageError: There are more agents than slots.
        """
        if anchor is not None:
            if self.slots is not None and (agents := anchor.exists.shape[-1]) > self.slots:
                raise UsageError(
                    f"decoder agents: a batch with {agents} agents cannot be decoded into {self.slots} slots",
                    f"set decoder.agents.slots to {agents} or more, or decoder.agents.queries to 'motion'",
                )
            return anchor
        if self.scale.anchored or self.query is not None:
            raise PluginError("decoder agents: decoding motion needs an anchor, got none", "pass the last known situation as Anchor")
        read = features.scene if self.pooled else features.agents
        assert read is not None
        lead = read.shape[:1] if rollout else read.shape[: -1 if self.pooled else -2]
        agents = self.slots or read.shape[-2]
        state = read.new_zeros(*lead, agents, self.known)
        return Anchor(state, torch.zeros_like(state[..., 0], dtype=torch.bool), read.new_zeros(lead))

    def collect_statistics(self, batch: Batch) -> None:
        states, exists = batch[STATE][..., self.decoded], batch[EXISTS]
        self.scale.learn(states, exists, batch["dt"])
        if self.query is not None:
            self.query.learn(states[..., :NUMBERS], exists)


def build(config: AgentsConfig, specs: DecoderSpecs) -> AgentsDecoder:
    """Build the decoder for the layout of the latent; where there are both, agent features are preferred unless slots are asked for."""
    agents, scene = specs.latent.agents, specs.latent.scene
    pooled = agents is None or config.queries == "slots"
    width = scene if pooled else agents
    assert width is not None
    return AgentsDecoder(config=config, state=specs.obs_spec.get(STATE), width=width, pooled=pooled)
