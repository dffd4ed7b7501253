"""`selective-ssm`: deterministic dynamics that predict the next embedding with a selective state-space model over time.

    prior_t = (project(out_t), memory_t)        out_t, memory_t = Network(from_z(z_{t-1}) + from_action(action_{t-1}), memory_{t-1})
    posterior_t = (embedding_t, memory_t)       z_t is the first part of the posterior

The state before the first step is zero, and the network consumes it like any other. In the layout `agents` each agent has its own state,
all share the weights, and they do not interact here (the encoder may attend across them). Rows `R` are `B`, `B*A`, `B*S` or `B*S*A`.

Time. While observing, every z is known beforehand, unless a row is carried by its own prediction: its agent is absent after it was seen, or
its observation is withheld. Rows without such a gap are one pass over the sequence; rows with one go step by step, as imagination does,
because a prediction is not linear in the one before. Which rows these are is read back from the device, where there is a mask at all.

Masks. A row starts anew at `is_first` and where it is corrected for the first time; before that its posterior is the initial state. The
prior is always the step from the posterior before, and so knows nothing of the present step, not even who exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from twm_core import DynamicsSpecs, Mismatch
from twm_core.nn.actions import action_parts, check_actions, previous_actions
from twm_core.nn.imagining import Futures
from twm_core.nn.interfaces import Dynamics, Embedding, Features, Policy, Trace
from twm_core.nn.presence import Presence, presence
from twm_core.nn.state import time_major

from twm_plugin_demo.block import Memory
from twm_plugin_demo.config import SelectiveSSMConfig
from twm_plugin_demo.network import Network, join_layers, split_layers
from twm_plugin_demo.state import SSMState, batch_major


def build(config: SelectiveSSMConfig, specs: DynamicsSpecs) -> SelectiveSSM:
    """The dynamics for a config and the specs around it."""
    return SelectiveSSM(config=config, specs=specs)


class _Rows(NamedTuple):
    """What a pass over a sequence reads, time-major; `action` is None where there are no actions.

    Attributes:
        start: z before the first step, `[1,R,D]`.
        tokens: Embeddings, zero where not corrected, `[T,R,D]`.
        corrected: bool `[T,R,1]`.
        keep: 1 where the state before is used, `[T,R,1]`.
        action: What the network reads of the action that leads to each step, `[T,R,W]`.
        hidden: Memory before the first step, `[1,R,layers,N,E]`.
        recent: The same, `[1,R,layers,conv-1,E]`.
    """

    start: Tensor
    tokens: Tensor
    corrected: Tensor
    keep: Tensor
    action: Tensor | None
    hidden: Tensor
    recent: Tensor

    def take(self, index: Tensor) -> _Rows:
        """Some of the rows."""
        return _Rows._make(None if x is None else x.index_select(1, index) for x in self)


class _Found(NamedTuple):
    """Predictions `[T,R,D]` and the memory after each step, `[T,R,layers,...]`."""

    guess: Tensor
    hidden: Tensor
    recent: Tensor


class SelectiveSSM(Dynamics):
    """Selective state-space model over embeddings.

    Args:
        config: Sizes.
        given: Embedding, action and latent specs.
    """

    def __init__(self, *, config: SelectiveSSMConfig, specs: DynamicsSpecs) -> None:
        super().__init__()
        self.latent = specs.latent
        self.action = specs.action
        self.per_agent = specs.latent.layout == "agents"
        self.independent = self.per_agent
        self.from_z = nn.Linear(specs.latent.width, config.width)
        self.from_action = None if specs.action is None else nn.Linear(specs.action.width, config.width, bias=False)
        self.network = Network(config)
        self.project = nn.Linear(config.width, specs.latent.width)

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> SSMState:
        zeros = partial(torch.zeros, device=device if device is not None else self.project.weight.device)
        return SSMState(
            zeros(*batch_shape, self.latent.width),
            zeros(*batch_shape, *self.network.hidden_shape),
            zeros(*batch_shape, *self.network.recent_shape),
            zeros(batch_shape),
            zeros(batch_shape),
        )

    def features(self, state: SSMState) -> Features:
        return Features(None, state.z) if self.per_agent else Features(state.z, None)

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: SSMState | None = None,
        first_action: Tensor | None = None,
        withheld: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Trace:
        """Run through a sequence, as `Dynamics.observe`; nothing is drawn from the generator."""
        check_actions(actions, self.action)
        tokens = self._tokens(embedding)
        exists = exists if self.per_agent else None
        lead = (tokens.shape[0], *tokens.shape[2:-1])  # (B,) or (B,A)
        before = state if state is not None else self.initial(lead, device=tokens.device)
        first = is_first if not self.per_agent else is_first.unsqueeze(-1).expand(*is_first.shape, lead[1])
        known = presence(first, exists, before.begun > 0, before.present > 0, withheld)
        tokens = torch.where(known.corrected.unsqueeze(-1), tokens, 0.0)
        action = None
        if actions is not None:
            leading = previous_actions(actions, first_action, is_first)
            action = self._action_parts(leading, known.before if exists is not None else None, agents=lead[1:])
        rows = _Rows(
            start=time_major(before.z.float().unsqueeze(1)),
            tokens=time_major(tokens),
            corrected=time_major(known.corrected.unsqueeze(-1)),
            keep=time_major(known.keep.unsqueeze(-1)).float(),
            action=action,
            hidden=before.hidden.float().flatten(0, len(lead) - 1).unsqueeze(0),
            recent=before.recent.float().flatten(0, len(lead) - 1).unsqueeze(0),
        )
        masked = exists is not None or withheld is not None
        found = self._by_kind_of_row(rows, _has_gap(known)) if masked else self._at_once(rows)
        guess, hidden, recent = (batch_major(x, lead) for x in found)
        z = torch.where(known.corrected.unsqueeze(-1), tokens, torch.where(known.has_started.unsqueeze(-1), guess, 0.0))
        prior = SSMState(guess, hidden, recent, torch.ones_like(known.has_started).float(), known.before.float())
        return Trace(SSMState(z, hidden, recent, known.has_started.float(), known.present.float()), prior)

    def imagine(
        self,
        state: SSMState,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> SSMState:
        """Roll forward, as `Dynamics.imagine`. All samples are equal unless a policy makes them differ: nothing is drawn."""
        ahead = Futures(
            state,
            steps,
            actions,
            spec=self.action,
            exists=exists if self.per_agent else None,
            samples=samples,
            part=partial(self._action_parts, agents=tuple(state.z.shape[1:-1])),  # () or (A,)
            features=self.features,
        )
        here = ahead.start
        lead = tuple(here.begun.shape)  # (B*S,) or (B*S,A)
        present = torch.ones_like(here.present) if ahead.exists is None else ahead.exists.float()
        begun = here.begun.reshape(-1, 1, 1, 1)
        memory = split_layers(*(x.float().flatten(0, len(lead) - 1) * begun for x in (here.hidden, here.recent)))
        z = here.z.reshape(-1, self.latent.width).float()
        states: list[SSMState] = []
        for t in range(steps):
            z, memory = self._step(z, ahead.action_part(t, here), None, memory)
            latest, hidden, recent = (x.unflatten(0, lead) for x in (z, *join_layers(memory, 1)))
            here = SSMState(latest, hidden, recent, torch.ones_like(here.begun), present)
            states.append(here)
        return ahead.join(states)

    def _at_once(self, rows: _Rows) -> _Found:
        """Rows in which every z that is consumed is known: one pass."""
        inputs = self.from_z(torch.cat((rows.start, rows.tokens[:-1])) * rows.keep)
        if rows.action is not None:
            inputs = inputs + rows.action
        out, memory = self.network(inputs, rows.keep, split_layers(rows.hidden[0], rows.recent[0]))
        return _Found(self.project(out).float(), *join_layers(memory, 2))

    def _step_by_step(self, rows: _Rows) -> _Found:
        """Rows that may consume a prediction of their own."""
        z, memory = rows.start[0], split_layers(rows.hidden[0], rows.recent[0])
        steps: list[_Found] = []
        for t, keep in enumerate(rows.keep.unbind(0)):
            guess, memory = self._step(z * keep, None if rows.action is None else rows.action[t], keep, memory)
            z = torch.where(rows.corrected[t], rows.tokens[t], guess)
            steps.append(_Found(guess, *join_layers(memory, 1)))
        return _Found(*(torch.stack(xs) for xs in zip(*steps, strict=True)))

    def _by_kind_of_row(self, rows: _Rows, gap: Tensor) -> _Found:
        """Each row in the way that suits it; `gap` is bool `[R]`."""
        index = [mask.nonzero().squeeze(-1) for mask in (~gap, gap)]
        passes = zip((self._at_once, self._step_by_step), index, strict=True)
        parts = [run(rows.take(chosen)) for run, chosen in passes if len(chosen)]
        if len(parts) == 1:
            return parts[0]
        back = torch.cat(index).argsort()
        return _Found(*(torch.cat(xs, dim=1).index_select(1, back) for xs in zip(*parts, strict=True)))

    def _step(self, z: Tensor, action: Tensor | None, keep: Tensor | None, memory: Sequence[Memory]) -> tuple[Tensor, Sequence[Memory]]:
        """Prediction `[R,D]` and memory of each layer after consuming z `[R,D]` and what is read of the action, `[R,W]`."""
        inputs = self.from_z(z)
        if action is not None:
            inputs = inputs + action
        out, after = self.network.step(inputs, keep, memory)
        return self.project(out).float(), after

    def _tokens(self, embedding: Embedding) -> Tensor:
        """The tokens of the layout, `[B,T,D]` or `[B,T,A,D]`, float32."""
        tokens = embedding.agents if self.per_agent else embedding.scene
        if tokens is None:
            raise Mismatch(needs=f"{self.latent.layout} tokens of width {self.latent.width}", got="an embedding without them")
        return tokens.float()

    def _action_parts(self, actions: Tensor, exists: Tensor | None, *, agents: tuple[int, ...]) -> Tensor:
        """What the network reads of actions, `[T,R,W]`; see `action_parts`."""
        check_actions(actions, self.action)
        assert self.action is not None
        assert self.from_action is not None
        return action_parts(actions, self.action, exists, self.from_action, agents=agents)


def _has_gap(known: Presence) -> Tensor:
    """Rows that consume a prediction of their own, bool `[R]`: carried by it at one step, and not started anew at the next."""
    carried = (known.has_started & ~known.corrected)[:, :-1] & known.keep[:, 1:]
    return carried.any(dim=1).flatten()
