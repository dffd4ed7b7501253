"""The world model: encoders, dynamics, decoders and losses joined into one module.

    embed     batch -> tokens                             observe   tokens -> posterior and prior states of every step
    outputs   beliefs and decoded branches for losses     loss      sum of weight x term
    imagine   states -> futures                           forecast  observe the first steps, imagine the rest, decode it

`forecast` cuts the batch after the observed steps before anything reads it: what comes later cannot reach the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.data.schema import MOTION
from twm_core.kinds.loss import LossConfig
from twm_core.nn.batches import anchor_at, previous_anchor, slice_time
from twm_core.nn.distributions import Distribution
from twm_core.nn.folding import agent_rows, can_fold, fold_agents, fold_tokens, fold_withheld
from twm_core.nn.fusion import Fusion
from twm_core.nn.interfaces import (
    Ahead,
    Anchor,
    Belief,
    Decoder,
    Dynamics,
    Embedding,
    Encoder,
    Features,
    Loss,
    Outputs,
    Policy,
    Rollout,
    Statistical,
    Trace,
)
from twm_core.nn.state import State, at_time
from twm_core.specs import ActionSpec, ObservationSpec, OutputSpec

STATE = "agents.state"


@dataclass(frozen=True)
class LossTerm:
    """A loss with its config, which knows its weight at every step, the decoded branches it reads, and the rollout it needs."""

    config: LossConfig
    loss: Loss


class WorldModel(nn.Module):
    """A world model.

    Args:
        encoders: Encoders by name, in the order of the recipe.
        fusion: Joins their tokens.
        dynamics: The dynamics.
        decoders: Decoders by name; no two return the same key.
        losses: Losses by name.
        obs_spec: Spec of the batches.
        action: Spec of the actions, None where there are none.
        output: Spec of what the decoders return.
        mover: Name of the decoder of `agents.state`, which dynamics that attend by poses need in imagination.
    """

    def __init__(
        self,
        *,
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        dynamics: Dynamics,
        decoders: Mapping[str, Decoder],
        losses: Mapping[str, LossTerm],
        obs_spec: ObservationSpec,
        action: ActionSpec | None,
        output: OutputSpec,
        mover: str | None = None,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.fusion = fusion
        self.dynamics = dynamics
        self.decoders = nn.ModuleDict(dict(decoders))
        self.losses = nn.ModuleDict({k: t.loss for k, t in losses.items()})
        self.terms = dict(losses)
        self.obs_spec = obs_spec
        self.action = action
        self.output = output
        self.mover = mover
        self._motion: list[int] = []
        self._moved: list[int] = []
        if dynamics.geometric:
            self._motion = [obs_spec.get(STATE).index(n) for n in MOTION]
            self._moved = [output.get(STATE).features.index(n) for n in MOTION]

    # Observing ---------------------------------------------------------------------------------------------------

    def embed(self, batch: Batch) -> Embedding:
        """Tokens of every step, those of several encoders fused."""
        return self.fusion([encoder(batch) for encoder in self.encoders.values()])

    def observe(
        self, batch: Batch, *, state: State | None = None, withheld: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Trace:
        """Posterior and prior of every step of the batch."""
        return self._observe(self.embed(batch), batch, state=state, withheld=withheld, generator=generator)

    def _observe(
        self, tokens: Embedding, batch: Batch, *, state: State | None, withheld: Tensor | None, generator: torch.Generator | None
    ) -> Trace:
        pose_inputs = {"motion": batch[STATE][..., self._motion]} if self.dynamics.geometric else {}
        return self.dynamics.observe(
            tokens,
            batch.get("action"),
            batch["is_first"],
            batch.get("agents.exists"),
            state=state,
            withheld=withheld,
            generator=generator,
            **pose_inputs,
        )

    def decode(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        """Distributions of all decoders, one step ahead of the anchor."""
        return {k: d for decoder in self.decoders.values() for k, d in decoder(features, anchor).items()}

    def decode_rollout(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        """Distributions of all decoders over consecutive steps `[B,S,H]` that start from one anchor `[B]`."""
        return {k: d for m in self.decoders.values() for k, d in cast(Decoder, m).rollout(features, anchor).items()}

    def decode_ahead(self, tokens: Embedding, trace: Trace, batch: Batch, step: int, steps: int) -> dict[str, Distribution]:
        """Distributions `[B,1,H,...]` of the decoders that decode whole futures at once, from what is known at `step`."""
        known = Embedding(*(None if x is None else x[:, step] for x in tokens))
        features, anchor = self.dynamics.features(at_time(trace.posterior, step)), anchor_at(batch, step)
        return {k: d for m in self.decoders.values() for k, d in cast(Decoder, m).ahead(known, features, anchor, steps).items()}

    def belief(self, state: State) -> Belief:
        """A state with its features and distribution."""
        return Belief(state, self.dynamics.features(state), self.dynamics.distribution(state))

    # Learning ----------------------------------------------------------------------------------------------------

    def outputs(
        self, batch: Batch, *, generator: torch.Generator | None = None, step: int | None = None, withheld: Tensor | None = None
    ) -> Outputs:
        """Beliefs and the decoded branches that the losses ask for.

        Args:
            batch: A training batch.
            generator: Source of the samples.
            step: The optimizer step, for curricula; None means full length.
            withheld: Observations to keep from the state, see `Dynamics.observe`.
        """
        return self._outputs(batch, self.embed(batch), self._active(step), generator=generator, step=step, withheld=withheld)

    def _active(self, step: int | None) -> dict[str, LossTerm]:
        """The losses that are computed at an optimizer step."""
        return {k: t for k, t in self.terms.items() if t.config.active_at(step)}

    def _outputs(
        self,
        batch: Batch,
        tokens: Embedding,
        terms: Mapping[str, LossTerm],
        *,
        generator: torch.Generator | None,
        step: int | None,
        withheld: Tensor | None,
    ) -> Outputs:
        """Outputs for some losses; tokens of the observed steps are enough for those that only decode ahead."""
        wanted = frozenset(b for term in terms.values() for b in term.config.branches())
        trace = self._observe(tokens, batch, state=None, withheld=withheld, generator=generator)
        posterior, prior = self.belief(trace.posterior), self.belief(trace.prior)
        anchor = previous_anchor(batch)
        reconstruction = self.decode(posterior.features, anchor) if "reconstruction" in wanted else {}
        prediction = self.decode(prior.features, anchor) if "prediction" in wanted else {}
        requests = [r for term in terms.values() if (r := term.config.rollout()) is not None]
        rollout = None
        if "rollout" in wanted and requests and self.obs_spec.horizon:
            samples = max(r.samples for r in requests)
            steps = max(r.length(self.obs_spec.horizon, step) for r in requests)
            start = self.obs_spec.context
            actions = batch["action"][:, start - 1 : start - 1 + steps] if "action" in batch else None
            states, decoded = self._roll(trace.posterior, start, batch, steps, actions, samples, generator)
            rollout = Rollout(start, decoded, self.belief(states))
        ahead = None
        if "ahead" in wanted and self.obs_spec.horizon:
            start = self.obs_spec.context
            ahead = Ahead(start, self.decode_ahead(tokens, trace, batch, start - 1, self.obs_spec.horizon))
        return Outputs(posterior, prior, reconstruction, prediction, rollout, ahead, step)

    def loss(
        self, batch: Batch, *, generator: torch.Generator | None = None, step: int | None = None, withheld: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of all terms, and the unweighted terms as `loss.term`; arguments as in `outputs`."""
        active = self._active(step)
        # Where every loss decodes ahead, nothing after the observed steps has to be encoded.
        brief = step is not None and bool(active) and all(t.config.branches() == {"ahead"} for t in active.values())
        read, kept = (slice_time(batch, self.obs_spec, 0, self.obs_spec.context), withheld) if brief else (batch, withheld)
        if brief and withheld is not None:
            kept = withheld[:, : self.obs_spec.context]
        tokens = self.embed(read)
        if self.dynamics.independent and can_fold(self.obs_spec):
            rows = agent_rows(batch)
            batch, read = fold_agents(batch, rows, self.obs_spec, self.action), fold_agents(read, rows, self.obs_spec, self.action)
            tokens, kept = fold_tokens(tokens, rows), fold_withheld(kept, rows)
        outputs = self._outputs(read, tokens, active, generator=generator, step=step, withheld=kept)
        terms: dict[str, Tensor] = {}
        total = torch.zeros((), device=batch["is_first"].device)
        for name, term in active.items():
            weight = term.config.weight_at(step)
            for key, value in term.loss(outputs, batch).items():
                total = total + weight * value
                terms[f"{name}.{key}"] = value
        return total, terms

    def forward(
        self, batch: Batch, generator: torch.Generator | None = None, step: int | None = None, withheld: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Same as `loss`: what a training step calls."""
        return self.loss(batch, generator=generator, step=step, withheld=withheld)

    @torch.no_grad()
    def collect_statistics(self, batch: Batch) -> None:
        """Show a training batch to everything that keeps statistics; called before the first step only."""
        for module in [*self.encoders.values(), self.dynamics, *self.decoders.values(), *self.losses.values()]:
            cast(Statistical, module).collect_statistics(batch)

    # Imagining ---------------------------------------------------------------------------------------------------

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
        """Futures `[B,S,H,...]` of states `[B,...]`; see `Dynamics.imagine`."""
        return self.dynamics.imagine(state, steps, actions, exists=exists, samples=samples, generator=generator)

    def _roll(
        self,
        posterior: State,
        start: int,
        batch: Batch,
        steps: int,
        actions: Tensor | Policy | None,
        samples: int,
        generator: torch.Generator | None,
    ) -> tuple[State, dict[str, Distribution]]:
        anchor = anchor_at(batch, start - 1)
        exists = None if anchor is None else anchor.exists
        pose_inputs = self._pose_inputs(anchor, samples) if self.dynamics.geometric and anchor is not None else {}
        begin = at_time(posterior, start - 1)
        state = self.dynamics.imagine(begin, steps, actions, exists=exists, samples=samples, generator=generator, **pose_inputs)
        return state, self.decode_rollout(self.dynamics.features(state), anchor)

    def _pose_inputs(self, anchor: Anchor, samples: int) -> dict[str, Any]:
        """What dynamics that attend by poses are told in imagination: how the decoder moves agents on."""
        known, exists, dt = (x.repeat_interleave(samples, dim=0) for x in (anchor.state, anchor.exists, anchor.dt))
        decoder = cast(Decoder, self.decoders[cast(str, self.mover)])

        @torch.no_grad()
        def moves(features: Features, motion: Tensor) -> Tensor:
            state = known.clone()
            state[..., self._motion] = motion
            return decoder(features, Anchor(state, exists, dt))[STATE].mean[..., self._moved]

        return {"moves": moves}

    @torch.no_grad()
    def forecast(
        self,
        batch: Batch,
        *,
        context: int | None = None,
        steps: int | None = None,
        samples: int = 1,
        actions: Tensor | Policy | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Distribution]:
        """Sampled futures of what follows the first `context` steps.

        Args:
            batch: Only its first `context` steps are read.
            context: Observed steps; the protocol's by default.
            steps: `H`, predicted steps; the protocol's by default.
            samples: `S` futures.
            actions: For models with actions: those from the last observed step on, `[B,H,...]`, or a policy.
            generator: Source of the samples.

        Returns:
            A distribution for each decoded key, leading axes `[B,S,H]`; for keys decoded ahead, `[B,1,H]` with at most the protocol's `H`.
        """
        context = self.obs_spec.context if context is None else context
        steps = self.obs_spec.horizon if steps is None else steps
        observed = slice_time(batch, self.obs_spec, 0, context)
        tokens = self.embed(observed)
        trace = self._observe(tokens, observed, state=None, withheld=None, generator=generator)
        ahead = self.decode_ahead(tokens, trace, observed, context - 1, min(steps, self.obs_spec.horizon))
        return {**self._roll(trace.posterior, context, observed, steps, actions, samples, generator)[1], **ahead}
