"""`gru`: deterministic dynamics that predict the next embedding with a stacked GRU.

A state is (z, carry): z is what decoders read and carry is the GRU's hidden state before it consumes z.

    carry_t = GRU([z_{t-1}, action_{t-1}], carry_{t-1})
    prior_t = (project(carry_t), carry_t)           posterior_t = (embedding_t, carry_t)

The state before the first step is zero, and it is consumed like any other: running through `z_0 .. z_T` equals torch.nn.GRU on
`0, z_0 .. z_T`. In the layout `agents` every agent has its own state, all share the weights, and agents do not interact here (the
encoder may attend across them). Rows `R` are `B`, `B*A`, `B*S` or `B*S*A`; sequences are time-major `[T,R,...]` inside.

Masks. A row starts anew (zero state) at `is_first` and at the first step at which its agent is seen; before that its posterior is the
initial state. An absent agent that has been seen is carried by its prior: its z is the prediction. The prior is always the step from
the posterior before, so that it knows nothing of the present step, not even who exists.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core import DynamicsGiven, UsageError
from twm_core.nn.actions import check_actions, masked_actions, previous_actions, spread_over_agents
from twm_core.nn.interfaces import Dynamics, Embedding, Features, Policy, Trace
from twm_core.nn.presence import presence
from twm_core.nn.state import repeat_samples, stack_time, time_major, unfold_samples
from twm_recurrent.cell import gru_gates
from twm_recurrent.config import GRUConfig


class RecurrentState(NamedTuple):
    """One state with leading axes `[...]` (layout `scene`) or `[...,A]` (layout `agents`).

    Attributes:
        z: What decoders read, `[...,D]`.
        carry: Hidden state of each layer before `z` is consumed, `[...,layers,H]`.
    """

    z: Tensor
    carry: Tensor


def build(config: GRUConfig, given: DynamicsGiven) -> Recurrent:
    """The dynamics for a config and the specs around it."""
    return Recurrent(config=config, given=given)


class Recurrent(Dynamics):
    """Stacked GRU over embeddings. The weights are those of a torch.nn.GRU (attribute `gru`), on inputs [z, action].

    Args:
        config: Sizes.
        given: Embedding, action and latent specs.
    """

    def __init__(self, *, config: GRUConfig, given: DynamicsGiven) -> None:
        super().__init__()
        self.latent = given.latent
        self.config = config
        self.action = given.action
        self.per_agent = given.latent.layout == "agents"
        width = given.latent.width + (given.action.width if given.action is not None else 0)
        self.gru = nn.GRU(width, config.hidden, config.n_layers)
        self.project = nn.Linear(config.hidden, given.latent.width)

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> RecurrentState:
        device = device if device is not None else self.project.weight.device
        return RecurrentState(
            torch.zeros(*batch_shape, self.latent.width, device=device),
            torch.zeros(*batch_shape, self.config.n_layers, self.config.hidden, device=device),
        )

    def features(self, state: RecurrentState) -> Features:
        return Features(None, state.z) if self.per_agent else Features(state.z, None)

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: RecurrentState | None = None,
        first_action: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Trace:
        check_actions(actions, self.action)
        tokens = embedding.agents if self.per_agent else embedding.scene
        assert tokens is not None, f"layout {self.latent.layout!r} lacks its tokens"
        exists = exists if self.per_agent else None
        tokens = tokens.float()
        if exists is not None:
            tokens = torch.where(exists.unsqueeze(-1), tokens, 0.0)
        batch, steps = tokens.shape[:2]
        lead = tuple(tokens.shape[2:-1])  # () or (A,)
        start = state if state is not None else self.initial((batch, *lead), device=tokens.device)
        first = is_first.view(batch, steps, *(1 for _ in lead)).expand(batch, steps, *lead)
        # Only a state that was never stepped has a carry of exactly zero.
        begun = (start.carry.detach() != 0).flatten(-2).any(-1)
        known = presence(first, exists, begun, begun)

        keep = time_major(known.keep.unsqueeze(-1)).float()
        weight, bias = self._z_weight(), self._weight("bias_ih_l0")
        actions_into: tuple[Tensor, ...] | None = None
        if actions is not None:
            before_each = previous_actions(actions, first_action, is_first)
            actions_into = self._action_parts(before_each, known.before if exists is not None else None, agents=lead).unbind(0)
        # The input of each step is the z before it. Where nobody is ever absent it is known, and one product for the whole sequence.
        before = time_major(torch.cat((start.z.float().unsqueeze(1), tokens[:, :-1]), dim=1))
        z_into = F.linear(before * keep, weight, bias).unbind(0) if exists is None else None
        there = None if exists is None else time_major(exists.unsqueeze(-1)).unbind(0)
        after = time_major(tokens).unbind(0)
        dropped = self._dropout_masks((batch, steps, *lead), generator, tokens.device)
        hidden = start.carry.reshape(-1, self.config.n_layers, self.config.hidden).float().unbind(1)
        z, kept = before[0], keep.unbind(0)
        guesses: list[Tensor] = []
        carries: list[Tensor] = []
        for t in range(steps):
            into = z_into[t] if z_into is not None else F.linear(z * kept[t], weight, bias)
            if actions_into is not None:
                into = into + actions_into[t]
            hidden = self._step(into, [h * kept[t] for h in hidden], None if dropped is None else dropped[t])
            if there is not None:
                guesses.append(self.project(hidden[-1]))
                z = torch.where(there[t], after[t], guesses[-1])
            carries.append(torch.stack(hidden, dim=1))
        carry = torch.stack([x.view(batch, *lead, self.config.n_layers, self.config.hidden) for x in carries], dim=1)
        if exists is None:
            return Trace(RecurrentState(tokens, carry), RecurrentState(self.project(carry[..., -1, :]), carry))
        guess = torch.stack([x.view(batch, *lead, -1) for x in guesses], dim=1)
        z = torch.where(exists.unsqueeze(-1), tokens, torch.where(known.seen.unsqueeze(-1), guess, 0.0))
        posterior = RecurrentState(z, torch.where(known.seen[..., None, None], carry, 0.0))
        return Trace(posterior, RecurrentState(guess, carry))

    def imagine(
        self,
        state: RecurrentState,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> RecurrentState:
        """Roll forward, as `Dynamics.imagine`. Without dropout and policy noise all samples are equal: the dynamics are deterministic."""
        if steps < 1:
            raise UsageError(f"imagine needs at least one step, got {steps}")
        if actions is None:
            check_actions(None, self.action)
        here = repeat_samples(state, samples)
        lead = tuple(here.z.shape[:-1])  # (B*S,) or (B*S, A)
        part_of = None if exists is None or not self.per_agent else exists.repeat_interleave(samples, dim=0)
        parts: tuple[Tensor, ...] | None = None
        if isinstance(actions, Tensor):
            parts = self._action_parts(actions.repeat_interleave(samples, dim=0), part_of, agents=lead[1:]).unbind(0)
        dropped = self._dropout_masks((lead[0], steps, *lead[1:]), generator, here.z.device)
        weight, bias = self._z_weight(), self._weight("bias_ih_l0")
        z = here.z.reshape(-1, self.latent.width).float()
        hidden = here.carry.reshape(-1, self.config.n_layers, self.config.hidden).float().unbind(1)
        states: list[RecurrentState] = []
        for t in range(steps):
            into = F.linear(z, weight, bias)
            if parts is not None:
                into = into + parts[t]
            elif actions is not None:
                chosen = actions(self.features(here))  # pyrefly: ignore[not-callable]
                into = into + self._action_parts(chosen.unsqueeze(1), part_of, agents=lead[1:])[0]
            hidden = self._step(into, hidden, None if dropped is None else dropped[t])
            z = self.project(hidden[-1])
            carry = torch.stack(hidden, dim=1).view(*lead, self.config.n_layers, self.config.hidden)
            here = RecurrentState(z.view(*lead, -1), carry)
            states.append(here)
        return unfold_samples(stack_time(states), samples)

    def _step(self, into: Tensor, hidden: tuple[Tensor, ...] | list[Tensor], dropped: Tensor | None) -> tuple[Tensor, ...]:
        """One step of all layers; `into` `[R,3H]` is the first layer's input part, `dropped` `[R,layers-1,H]` the dropout factors."""
        after: list[Tensor] = []
        for i, h in enumerate(hidden):
            if i > 0:
                below = after[-1] if dropped is None else after[-1] * dropped[:, i - 1]
                into = F.linear(below, self._weight(f"weight_ih_l{i}"), self._weight(f"bias_ih_l{i}"))
            after.append(gru_gates(into, F.linear(h, self._weight(f"weight_hh_l{i}"), self._weight(f"bias_hh_l{i}")), h))
        return tuple(after)

    def _weight(self, name: str) -> Tensor:
        return self.gru.get_parameter(name)

    def _z_weight(self) -> Tensor:
        """The columns of the first layer's input weight that read z; taken once per pass, its gradient is then sliced back once."""
        return self._weight("weight_ih_l0")[:, : self.latent.width]

    def _dropout_masks(self, shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> tuple[Tensor, ...] | None:
        """Factors 0 or 1 / (1 - dropout) for `[B,T,...]`, as `T` tensors `[R,layers-1,H]`; None where nothing is dropped."""
        layers, rate = self.config.n_layers - 1, self.config.dropout
        if not self.training or rate == 0 or layers == 0:
            return None
        kept = torch.rand((*shape, layers * self.config.hidden), generator=generator, device=device) >= rate
        return time_major(kept.float() / (1 - rate)).unflatten(-1, (layers, self.config.hidden)).unbind(0)

    def _action_parts(self, actions: Tensor, exists: Tensor | None, *, agents: tuple[int, ...]) -> Tensor:
        """`[B,T,U]` or `[B,T,A,U]` to `[T,R,3H]`; what an agent that did not exist did counts as zero (`exists` `[B,T,A]` or `[B,A]`)."""
        check_actions(actions, self.action)
        assert self.action is not None
        weight = self._weight("weight_ih_l0")[:, self.latent.width :]
        actions = masked_actions(actions, self.action, exists)
        if self.action.layout == "agents":
            return F.linear(time_major(actions), weight)
        return spread_over_agents(F.linear(actions.transpose(0, 1), weight), agents)
