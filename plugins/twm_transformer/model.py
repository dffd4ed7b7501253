"""`transformer`: deterministic dynamics that predict the next embedding with a causal Transformer over time.

A state is (z, cache, steps): z is what decoders read, the cache holds keys and values of the inputs before it, and steps counts them.

    prior_t = project(Transformer(x_0 .. x_t))      x_t = from_z(z_{t-1}) + from_action(action_{t-1}) + position_t
    posterior_t = embedding_t

The state before the first step is z = 0 at position 0, and it is consumed like any other. Positions count steps since a row's start and
are kept in the state, and every layer sees the last `window` inputs only; a sequence cut into chunks therefore gives what the whole
gives, and a rollout that feeds on the cache gives what a forward pass over everything would. In the layout `agents` every agent has its
own state, all share the weights, and agents do not interact here (the encoder may attend across them). Rows `R` are `B`, `B*A`, `B*S` or
`B*S*A`; inside, rows come first: `[R,T,...]`.

Gradients flow through all steps of a sequence and through all steps of a rollout, but not through a state's cache: a rollout, or the next
chunk, reaches back to the state that it starts from by its z alone (as the memory of Dai et al., "Transformer-XL", 2019).

Masks. A row starts anew at `is_first` and at the first step at which it is corrected; before that its posterior is the initial state. A
row that has begun and is not corrected (its agent is absent, or the observation is withheld) is carried by its prediction. All rows are
first run in one pass; those that consume a prediction of their own then run step by step on their cache. Whether there are such rows is
read back from the device, but only where there is a mask at all.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from twm_core import DynamicsSpecs
from twm_core.nn.actions import action_parts, check_actions, previous_actions
from twm_core.nn.imagining import Futures
from twm_core.nn.interfaces import Dynamics, Embedding, Features, Policy, Trace
from twm_core.nn.presence import Presence, presence
from twm_core.nn.state import unfold_samples
from twm_transformer.cache import Cache
from twm_transformer.config import TransformerConfig
from twm_transformer.network import Network
from twm_transformer.state import TransformerState, windows


def build(config: TransformerConfig, specs: DynamicsSpecs) -> TransformerDynamics:
    """The dynamics for a config and the specs around it."""
    return TransformerDynamics(config=config, specs=specs)


class _Rows(NamedTuple):
    """A sequence as rows: what a pass over it reads. Fields that are None are not there in any row.

    Attributes:
        start: z before the first step, `[R,D]`.
        tokens: `[R,T,D]`, zero where not corrected.
        corrected: bool `[R,T,1]`.
        keep: Whether the step before is used, float `[R,T,1]`.
        position: Int64 `[R,T]`.
        action: Actions that lead to each step, embedded, `[R,T,W]`.
        past: The cache before the first step, `[R,layers,2,N,W]`, with `N = 0` where nothing was consumed yet.
        dropped: Dropout factors, `[R,T,layers,2,W]`.
    """

    start: Tensor
    tokens: Tensor
    corrected: Tensor
    keep: Tensor
    position: Tensor
    action: Tensor | None
    past: Tensor
    dropped: Tensor | None

    def take(self, index: Tensor) -> _Rows:
        """Some of the rows."""
        return _Rows._make(None if x is None else x.index_select(0, index) for x in self)


class TransformerDynamics(Dynamics):
    """Causal Transformer over embeddings.

    Args:
        config: Sizes.
        given: Embedding, action and latent specs.
    """

    def __init__(self, *, config: TransformerConfig, specs: DynamicsSpecs) -> None:
        super().__init__()
        self.latent = specs.latent
        self.config = config
        self.action = specs.action
        self.per_agent = specs.latent.layout == "agents"
        self.independent = self.per_agent  # agents do not hear of one another here
        self.from_z = nn.Linear(specs.latent.width, config.width)
        self.from_action = None if specs.action is None else nn.Linear(specs.action.width, config.width, bias=False)
        self.network = Network(config)
        self.project = nn.Linear(config.width, specs.latent.width)

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> TransformerState:
        device = device if device is not None else self.project.weight.device
        return TransformerState(
            torch.zeros(*batch_shape, self.latent.width, device=device),
            torch.zeros(*batch_shape, *self._cache_shape(), device=device),
            torch.zeros(batch_shape, dtype=torch.int64, device=device),
            torch.zeros(batch_shape, device=device),
        )

    def features(self, state: TransformerState) -> Features:
        return Features(None, state.z) if self.per_agent else Features(state.z, None)

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: TransformerState | None = None,
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
        lead = (batch, *tokens.shape[2:-1])  # (B,) or (B,A)
        start = state if state is not None else self.initial(lead, device=tokens.device)
        first = is_first.view(batch, steps, *(1 for _ in lead[1:])).expand(batch, steps, *lead[1:])
        known = presence(first, exists, start.steps > 0, start.present > 0, withheld)
        masked = exists is not None or withheld is not None
        if masked:
            tokens = torch.where(known.corrected.unsqueeze(-1), tokens, 0.0)
        position = _positions(known.keep, start.steps)
        action: Tensor | None = None
        if actions is not None:
            before_each = previous_actions(actions, first_action, is_first)
            action = self._action_parts(before_each, known.before if exists is not None else None, agents=lead[1:]).transpose(0, 1)
        past = start.cache.detach().reshape(-1, *self._cache_shape()).float()
        rows = _Rows(
            start=start.z.reshape(-1, self.latent.width).float(),
            tokens=_rows(tokens),
            corrected=_rows(known.corrected.unsqueeze(-1)),
            keep=_rows(known.keep.unsqueeze(-1)).float(),
            position=_rows(position.unsqueeze(-1)).squeeze(-1),
            action=action,
            past=past if state is not None else past[:, :, :, :0],
            dropped=self._dropout_masks(steps, lead, generator, tokens.device),
        )
        guess, cache = self._at_once(rows)
        if masked:
            index = _feeding_on_themselves(known)
            if index.numel():
                alone = self._step_by_step(rows.take(index))
                guess, cache = (whole.index_copy(0, index, part) for whole, part in zip((guess, cache), alone, strict=True))
        guess = guess.unflatten(0, lead).movedim(-2, 1)
        if state is None:
            cache = torch.cat((past, cache), dim=3)
        caches = windows(cache, self.config.window - 1, lead)
        prior = TransformerState(guess, caches, position + 1, known.before.float())
        z, consumed = tokens, position + 1
        if masked:
            z = torch.where(known.corrected.unsqueeze(-1), tokens, torch.where(known.has_started.unsqueeze(-1), guess, 0.0))
            consumed = torch.where(known.has_started, consumed, 0)
        return Trace(TransformerState(z, caches, consumed, known.present.float()), prior)

    def imagine(
        self,
        state: TransformerState,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> TransformerState:
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
        dropped = self._dropout_masks(steps, lead, generator, here.z.device)
        past = here.cache.detach().reshape(-1, *self._cache_shape()).float()
        cache, position = Cache(past, steps=steps, window=self.config.window), here.steps.reshape(-1)
        z = here.z.reshape(-1, self.latent.width).float()
        found: list[Tensor] = []
        for t in range(steps):
            inputs = self.from_z(z)
            # A policy reads features, which are z; the rest of the states is made at the end.
            part = ahead.action_part(t, here._replace(z=z.unflatten(0, lead)))
            if part is not None:
                inputs = inputs + part
            z = self._one_step(inputs, position + t, cache, None if dropped is None else dropped[:, t])
            found.append(z)
        future = TransformerState(
            torch.stack(found, dim=1).unflatten(0, lead).movedim(-2, 1),
            windows(cache.whole(), self.config.window - 1, lead),
            here.steps.unsqueeze(1) + torch.arange(1, steps + 1, device=z.device).view(-1, *(1 for _ in lead[1:])),
            (torch.ones_like(here.present) if ahead.exists is None else ahead.exists.float())
            .unsqueeze(1)
            .expand(lead[0], steps, *lead[1:]),
        )
        return unfold_samples(future, samples)

    def _at_once(self, rows: _Rows) -> tuple[Tensor, Tensor]:
        """Predictions `[R,T,D]` and the whole cache `[R,layers,2,N+T,W]`, where every z that is consumed is known."""
        before = torch.cat((rows.start.unsqueeze(1), rows.tokens[:, :-1]), dim=1)
        inputs = self.from_z(before * rows.keep)
        if rows.action is not None:
            inputs = inputs + rows.action
        cache = Cache(rows.past, steps=inputs.shape[1], window=self.config.window)
        return self.project(self.network(inputs, rows.position, cache, rows.dropped)).float(), cache.whole()

    def _step_by_step(self, rows: _Rows) -> tuple[Tensor, Tensor]:
        """The same where a row may consume its own prediction."""
        corrected, tokens, keep = rows.corrected.unbind(1), rows.tokens.unbind(1), rows.keep.unbind(1)
        cache = Cache(rows.past, steps=len(tokens), window=self.config.window)
        z = rows.start
        guesses: list[Tensor] = []
        for t in range(len(tokens)):
            inputs = self.from_z(z * keep[t])
            if rows.action is not None:
                inputs = inputs + rows.action[:, t]
            guesses.append(self._one_step(inputs, rows.position[:, t], cache, None if rows.dropped is None else rows.dropped[:, t]))
            z = torch.where(corrected[t], tokens[t], guesses[-1])
        return torch.stack(guesses, dim=1), cache.whole()

    def _one_step(self, inputs: Tensor, position: Tensor, cache: Cache, dropped: Tensor | None) -> Tensor:
        """Prediction `[R,D]` from one input `[R,W]`, which joins the cache."""
        out = self.network(inputs.unsqueeze(1), position.unsqueeze(1), cache, None if dropped is None else dropped.unsqueeze(1))
        return self.project(out[:, 0]).float()

    def _cache_shape(self) -> tuple[int, int, int, int]:
        return self.config.n_layers, 2, self.config.window - 1, self.config.width

    def _dropout_masks(self, steps: int, lead: tuple[int, ...], generator: torch.Generator | None, device: torch.device) -> Tensor | None:
        """Factors 0 or 1 / (1 - dropout), `[R,T,layers,2,W]`; None where nothing is dropped."""
        rate = self.config.dropout
        if not self.training or rate == 0:
            return None
        shape = (*lead, steps, self.config.n_layers, 2, self.config.width)
        kept = torch.rand(shape, generator=generator, device=device) >= rate
        return (kept.float() / (1 - rate)).flatten(0, len(lead) - 1)

    def _action_parts(self, actions: Tensor, exists: Tensor | None, *, agents: tuple[int, ...]) -> Tensor:
        """Actions embedded, `[T,R,W]`; see `action_parts`."""
        check_actions(actions, self.action)
        assert self.action is not None
        assert self.from_action is not None
        return action_parts(actions, self.action, exists, self.from_action, agents=agents)


def _rows(x: Tensor) -> Tensor:
    """`[B,T,D]` or `[B,T,A,D]` as `[R,T,D]`."""
    return x.movedim(1, -2).flatten(0, -3)


def _positions(keep: Tensor, steps: Tensor) -> Tensor:
    """Position of each input, int64 `[B,T]` or `[B,T,A]`: 0 where a row starts anew, else one more than before; `steps` at first."""
    time = torch.arange(keep.shape[1], device=keep.device).view(1, -1, *(1 for _ in keep.shape[2:]))
    start = torch.where(keep, -1, time).cummax(dim=1).values
    return torch.where(start >= 0, time - start, steps.unsqueeze(1) + time)


def _feeding_on_themselves(known: Presence) -> Tensor:
    """Indices of the rows in which a prediction is consumed: carried by it at one step and not started anew at the next."""
    carried = (known.has_started & ~known.corrected)[:, :-1] & known.keep[:, 1:]
    return carried.any(dim=1).flatten().nonzero().squeeze(-1)
