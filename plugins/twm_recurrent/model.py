"""`gru` and `lstm`: deterministic dynamics that predict the next embedding with a stacked recurrent network.

A state is (z, memory): z is what decoders read and memory is what the network carries, before it consumes z: the hidden state of each
layer, and for the LSTM its cell.

    memory_t = RNN([z_{t-1}, action_{t-1}], memory_{t-1})
    prior_t = (project(hidden_t), memory_t)         posterior_t = (embedding_t, memory_t)

The state before the first step is zero, and it is consumed like any other: running through `z_0 .. z_T` equals torch.nn.GRU (or LSTM)
on `0, z_0 .. z_T`. In the layout `agents` every agent has its own state, all share the weights, and agents do not interact here (the
encoder may attend across them). Rows `R` are `B`, `B*A`, `B*S` or `B*S*A`; sequences are time-major `[T,R,...]` inside.

Masks. A row starts anew (zero state) at `is_first` and at the first step at which it is corrected; before that its posterior is the
initial state. A row that has begun and is not corrected (its agent is absent, or the observation is withheld) is carried by its prior:
its z is the prediction. The prior is always the step from the posterior before, so that it knows nothing of the present step, not even
who exists.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core import DynamicsSpecs
from twm_core.nn.actions import action_parts, check_actions, previous_actions
from twm_core.nn.imagining import Futures
from twm_core.nn.interfaces import Dynamics, Embedding, Features, Policy, Trace
from twm_core.nn.presence import presence
from twm_core.nn.state import time_major
from twm_recurrent.config import GRUConfig, LSTMConfig, RecurrentConfig
from twm_recurrent.gru_cell import gru_gates
from twm_recurrent.lstm_cell import lstm_gates

Memory = tuple[Tensor, ...]
"""What one layer carries, `[R,H]` each: hidden state first; for the LSTM also the cell."""


class GRUState(NamedTuple):
    """One state with leading axes `[...]` (layout `scene`) or `[...,A]` (layout `agents`).

    Attributes:
        z: What decoders read, `[...,D]`.
        carry: Hidden state of each layer before `z` is consumed, `[...,layers,H]`.
        present: 1 where it was there at this step, so that its next action counts, `[...]`.
    """

    z: Tensor
    carry: Tensor
    present: Tensor


class LSTMState(NamedTuple):
    """As `GRUState`, with the cell of each layer, `[...,layers,H]`."""

    z: Tensor
    carry: Tensor
    cell: Tensor
    present: Tensor


State = GRUState | LSTMState


class Layer(NamedTuple):
    """Weights of one layer; the first layer's input weight has only the columns that read z."""

    from_input: Tensor
    from_input_bias: Tensor
    from_hidden: Tensor
    from_hidden_bias: Tensor


def build_gru(config: GRUConfig, specs: DynamicsSpecs) -> GRU:
    """The dynamics `gru` for a config and the specs around it."""
    return GRU(config=config, specs=specs)


def build_lstm(config: LSTMConfig, specs: DynamicsSpecs) -> LSTM:
    """The dynamics `lstm` for a config and the specs around it."""
    return LSTM(config=config, specs=specs)


class Recurrent(Dynamics):
    """The scan over time that both share. A subclass owns the weights and says what a layer does with them.

    Args:
        config: Sizes.
        given: Embedding, action and latent specs.
    """

    state_type: type[State]

    def __init__(self, *, config: RecurrentConfig, specs: DynamicsSpecs) -> None:
        super().__init__()
        self.latent = specs.latent
        self.config = config
        self.action = specs.action
        self.per_agent = specs.latent.layout == "agents"
        self.independent = self.per_agent  # agents do not hear of one another here
        self.inputs = specs.latent.width + (specs.action.width if specs.action is not None else 0)
        self.project = nn.Linear(config.hidden, specs.latent.width)

    @abstractmethod
    def network(self) -> nn.RNNBase:
        """The torch module that holds the weights, on inputs [z, action]."""

    @abstractmethod
    def gates(self, from_input: Tensor, from_hidden: Tensor, memory: Memory) -> Memory:
        """What a layer carries after a step, from the input's and the hidden state's products."""

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> State:
        device = device if device is not None else self.project.weight.device
        memory = torch.zeros(*batch_shape, self.config.n_layers, self.config.hidden, device=device)
        parts = len(self.state_type._fields) - 2
        z, present = torch.zeros(*batch_shape, self.latent.width, device=device), torch.zeros(batch_shape, device=device)
        return self._state(z, [memory.clone() for _ in range(parts)], present)

    def features(self, state: State) -> Features:
        return Features(None, state.z) if self.per_agent else Features(state.z, None)

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: State | None = None,
        first_action: Tensor | None = None,
        withheld: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Trace:
        check_actions(actions, self.action)
        tokens = embedding.agents if self.per_agent else embedding.scene
        assert tokens is not None, f"layout {self.latent.layout!r} lacks its tokens"
        exists = exists if self.per_agent else None
        tokens = tokens.float()
        batch, steps = tokens.shape[:2]
        lead = tuple(tokens.shape[2:-1])  # () or (A,)
        start = state if state is not None else self.initial((batch, *lead), device=tokens.device)
        first = is_first.view(batch, steps, *(1 for _ in lead)).expand(batch, steps, *lead)
        # Only a state that was never stepped has a carry of exactly zero.
        begun = (start.carry.detach() != 0).flatten(-2).any(-1)
        known = presence(first, exists, begun, start.present > 0, withheld)
        masked = exists is not None or withheld is not None
        if masked:
            tokens = torch.where(known.corrected.unsqueeze(-1), tokens, 0.0)

        keep = time_major(known.keep.unsqueeze(-1)).float()
        layers = self._layers()
        actions_into: tuple[Tensor, ...] | None = None
        if actions is not None:
            before_each = previous_actions(actions, first_action, is_first)
            actions_into = self._action_parts(before_each, known.before if exists is not None else None, agents=lead).unbind(0)
        # The input of each step is the z before it. Where everybody is always corrected it is known, and one product for the sequence.
        before = time_major(torch.cat((start.z.float().unsqueeze(1), tokens[:, :-1]), dim=1))
        z_into = None if masked else F.linear(before * keep, layers[0].from_input, layers[0].from_input_bias).unbind(0)
        corrected = time_major(known.corrected.unsqueeze(-1)).unbind(0) if masked else None
        after = time_major(tokens).unbind(0)
        dropped = self._dropout_masks((batch, steps, *lead), generator, tokens.device)
        memory = self._memory(start)
        z, kept = before[0], keep.unbind(0)
        guesses: list[Tensor] = []
        carried: list[list[Tensor]] = [[] for _ in memory[0]]
        for t in range(steps):
            into = z_into[t] if z_into is not None else F.linear(z * kept[t], layers[0].from_input, layers[0].from_input_bias)
            if actions_into is not None:
                into = into + actions_into[t]
            memory = [tuple(x * kept[t] for x in layer) for layer in memory]
            memory = self._step(layers, into, memory, None if dropped is None else dropped[t])
            if corrected is not None:
                guesses.append(self.project(memory[-1][0]))
                z = torch.where(corrected[t], after[t], guesses[-1])
            for part, column in enumerate(carried):
                column.append(torch.stack([layer[part] for layer in memory], dim=1))
        shape = (batch, *lead, self.config.n_layers, self.config.hidden)
        parts = [torch.stack([x.view(shape) for x in column], dim=1) for column in carried]
        here, there = known.present.float(), known.before.float()
        if not masked:
            guess = self.project(parts[0][..., -1, :])
            return Trace(self._state(tokens, parts, here), self._state(guess, parts, there))
        guess = torch.stack([x.view(batch, *lead, -1) for x in guesses], dim=1)
        z = torch.where(known.corrected.unsqueeze(-1), tokens, torch.where(known.has_started.unsqueeze(-1), guess, 0.0))
        shown = [torch.where(known.has_started[..., None, None], x, 0.0) for x in parts]
        return Trace(self._state(z, shown, here), self._state(guess, parts, there))

    def imagine(
        self,
        state: State,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> State:
        """Roll forward, as `Dynamics.imagine`. Without dropout and policy noise all samples are equal: the dynamics are deterministic."""
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
        lead = tuple(here.z.shape[:-1])  # (B*S,) or (B*S, A)
        present = torch.ones_like(here.present) if ahead.exists is None else ahead.exists.float()
        dropped = self._dropout_masks((lead[0], steps, *lead[1:]), generator, here.z.device)
        layers = self._layers()
        z = here.z.reshape(-1, self.latent.width).float()
        memory = self._memory(here)
        shape = (*lead, self.config.n_layers, self.config.hidden)
        states: list[State] = []
        for t in range(steps):
            into = F.linear(z, layers[0].from_input, layers[0].from_input_bias)
            part = ahead.action_part(t, here)
            if part is not None:
                into = into + part
            memory = self._step(layers, into, memory, None if dropped is None else dropped[t])
            z = self.project(memory[-1][0])
            stacked = [torch.stack(list(xs), dim=1).view(shape) for xs in zip(*memory, strict=True)]
            here = self._state(z.view(*lead, -1), stacked, present)
            states.append(here)
        return ahead.join(states)

    def _state(self, z: Tensor, memory: Sequence[Tensor], present: Tensor) -> State:
        """A state of this network's type; `memory` are its fields between `z` and `present`, `[...,layers,H]` each."""
        return self.state_type._make((z, *memory, present))

    def _memory(self, state: State) -> list[Memory]:
        """What a state carries, layer by layer."""
        parts = [x.reshape(-1, self.config.n_layers, self.config.hidden).float().unbind(1) for x in state[1:-1]]
        return list(zip(*parts, strict=True))

    def _step(self, layers: Sequence[Layer], into: Tensor, memory: Sequence[Memory], dropped: Tensor | None) -> list[Memory]:
        """One step of all layers; `into` is the first layer's input part, `dropped` `[R,layers-1,H]` the dropout factors."""
        after: list[Memory] = []
        for i, (layer, carried) in enumerate(zip(layers, memory, strict=True)):
            if i > 0:
                below = after[-1][0] if dropped is None else after[-1][0] * dropped[:, i - 1]
                into = F.linear(below, layer.from_input, layer.from_input_bias)
            after.append(self.gates(into, F.linear(carried[0], layer.from_hidden, layer.from_hidden_bias), carried))
        return after

    def _layers(self) -> list[Layer]:
        """The weights, taken once per pass: the gradient of the sliced one is then put back once, not at every step."""
        network = self.network()
        names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        layers = [Layer(*(network.get_parameter(f"{n}_l{i}") for n in names)) for i in range(self.config.n_layers)]
        layers[0] = layers[0]._replace(from_input=layers[0].from_input[:, : self.latent.width])
        return layers

    def _dropout_masks(self, shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> tuple[Tensor, ...] | None:
        """Factors 0 or 1 / (1 - dropout) for `[B,T,...]`, as `T` tensors `[R,layers-1,H]`; None where nothing is dropped."""
        layers, rate = self.config.n_layers - 1, self.config.dropout
        if not self.training or rate == 0 or layers == 0:
            return None
        kept = torch.rand((*shape, layers * self.config.hidden), generator=generator, device=device) >= rate
        return time_major(kept.float() / (1 - rate)).unflatten(-1, (layers, self.config.hidden)).unbind(0)

    def _action_parts(self, actions: Tensor, exists: Tensor | None, *, agents: tuple[int, ...]) -> Tensor:
        """The first layer's products with the actions, `[T,R,gates*H]`; see `action_parts`."""
        check_actions(actions, self.action)
        assert self.action is not None
        weight = self.network().get_parameter("weight_ih_l0")[:, self.latent.width :]
        return action_parts(actions, self.action, exists, lambda x: F.linear(x, weight), agents=agents)


class GRU(Recurrent):
    """Stacked GRU over embeddings. The weights are those of a torch.nn.GRU (attribute `gru`), on inputs [z, action]."""

    state_type = GRUState

    def __init__(self, *, config: GRUConfig, specs: DynamicsSpecs) -> None:
        super().__init__(config=config, specs=specs)
        self.gru = nn.GRU(self.inputs, config.hidden, config.n_layers)

    def network(self) -> nn.RNNBase:
        return self.gru

    def gates(self, from_input: Tensor, from_hidden: Tensor, memory: Memory) -> Memory:
        return (gru_gates(from_input, from_hidden, memory[0]),)


class LSTM(Recurrent):
    """Stacked LSTM over embeddings. The weights are those of a torch.nn.LSTM (attribute `lstm`), on inputs [z, action]."""

    state_type = LSTMState

    def __init__(self, *, config: LSTMConfig, specs: DynamicsSpecs) -> None:
        super().__init__(config=config, specs=specs)
        self.lstm = nn.LSTM(self.inputs, config.hidden, config.n_layers)

    def network(self) -> nn.RNNBase:
        return self.lstm

    def gates(self, from_input: Tensor, from_hidden: Tensor, memory: Memory) -> Memory:
        return lstm_gates(from_input, from_hidden, memory[1])
