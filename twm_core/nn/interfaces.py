"""What each kind of component does at run time. `build(config, given)` of a component returns an object of its class here.

Axis letters: `B` batch, `T` time, `A` agents, `F` features, `D` width, `G` groups x `C` classes, `S` samples, `U` action width.

Time: `action[:, t]` is taken after observation `t` and leads to observation `t+1`. `posterior[t]` knows observations up to and
including `t`; `prior[t]` predicts step `t` from everything before it.

Masks: `exists` is bool `[B,T,A]`. What stands in a batch where an agent does not exist must change nothing, and the `A` slots have
no order: permuting them permutes per-agent results and leaves scene results alone.

Randomness: only through the `torch.Generator` that is passed in; None uses torch's default generator (convenient at a prompt, never
used by twm itself).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.nn.distributions import Distribution
from twm_core.nn.state import State
from twm_core.specs import LatentSpec


class Embedding(NamedTuple):
    """What encoders give: a scene token `[B,T,D]`, agent tokens `[B,T,A,D]`, or both."""

    scene: Tensor | None
    agents: Tensor | None


class Features(NamedTuple):
    """What decoders and policies read: scene features `[...,D]`, agent features `[...,A,D]`, or both."""

    scene: Tensor | None
    agents: Tensor | None


class Trace(NamedTuple):
    """What `observe` returns: posterior and prior states, `[B,T,...]` each."""

    posterior: State
    prior: State


class Anchor(NamedTuple):
    """The known situation that a decoder starts from, at the step before the first one it decodes.

    Attributes:
        state: `agents.state` there, `[...,A,F]`.
        exists: Which agents exist there, bool `[...,A]`.
        dt: Seconds to the next step, broadcastable to `[...]`.
    """

    state: Tensor
    exists: Tensor
    dt: Tensor


class Belief(NamedTuple):
    """A latent state with what can be read from it: features, and its distribution (None where it is deterministic)."""

    state: State
    features: Features
    distribution: Distribution | None


class Rollout(NamedTuple):
    """An open-loop rollout made in training: it starts at the posterior of step `start - 1` and covers `steps` steps.

    Attributes:
        start: First step that was predicted.
        decoded: Distributions `[B,S,H,...]` for the steps `start .. start + H - 1`.
        belief: The imagined states of these steps, `[B,S,H,...]`.
    """

    start: int
    decoded: dict[str, Distribution]
    belief: Belief


class Ahead(NamedTuple):
    """Whole futures decoded at once in training, from what is known at step `start - 1`.

    Attributes:
        start: First step that was predicted.
        decoded: Distributions `[B,1,H,...]` for the steps `start .. start + H - 1`.
    """

    start: int
    decoded: dict[str, Distribution]


class Outputs(NamedTuple):
    """Everything a loss may read.

    Attributes:
        posterior: The posterior of every step.
        prior: The prior of every step.
        reconstruction: Decoded posteriors.
        prediction: Decoded priors (one step ahead).
        rollout: Sampled futures, where a loss asked for them.
        ahead: Whole futures decoded at once, where a loss asked for them.
        step: The optimizer step, for losses that change while training; None outside training.
    """

    posterior: Belief
    prior: Belief
    reconstruction: dict[str, Distribution]
    prediction: dict[str, Distribution]
    rollout: Rollout | None
    ahead: Ahead | None = None
    step: int | None = None


Policy = Callable[[Features], Tensor]
"""Chooses actions in imagination: features of `[B*S]` states to actions `[B*S,U]` or `[B*S,A,U]`."""


Moves = Callable[[Features, Tensor], Tensor]
"""Motion of agents `[B*S,A,5]` (x, y, heading, vx, vy) after an imagined step, from its features and the motion before it."""


class Statistical:
    """Mixin for modules that keep statistics of the training data as buffers (normalizers).

    Before the first step, training calls `collect_statistics` with batches of the training split. The statistics are part of the
    model's state, so a checkpoint can be used alone.
    """

    def collect_statistics(self, batch: Batch) -> None:
        """Update the statistics with one batch; called without gradients, before training only."""


class Encoder(nn.Module, Statistical, ABC):
    """Sees each step on its own: token `t` depends on step `t` of the batch (and on keys without time).

    An encoder whose config declares a `memory` of n steps also sees the n steps before, as far as they belong to the same episode.
    """

    @abstractmethod
    def forward(self, batch: Batch) -> Embedding:
        """Encode the input keys of a batch; never reads a key whose role is `target`."""


class Dynamics(nn.Module, Statistical, ABC):
    """Carries a latent state through time.

    Attributes:
        latent: What it carries.
        independent: Whether each agent has a latent of its own that no other agent's latent influences; training then leaves out empty
            slots (`twm_core.nn.folding`).
        geometric: Whether agents hear of one another by where they are. Then `observe` is given one more argument, `motion`: x, y,
            heading, vx, vy of every agent at every step, `[B,T,A,5]`, of which a step may use what stands before it; and `imagine` is
            given `moves`, which says how agents have moved after an imagined step. Where agents are is part of the state.
    """

    latent: LatentSpec
    independent: bool = False
    geometric: bool = False

    @abstractmethod
    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> State:
        """The state before anything was seen: `[B,...]` for layout `scene`, `[B,A,...]` for layout `agents`."""

    @abstractmethod
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
        """Run through a sequence, correcting the state with what is seen.

        Args:
            embedding: Tokens `[B,T,...]`.
            actions: `[B,T,U]` or `[B,T,A,U]`; `actions[:, t]` leads to step `t+1`. None where there are none.
            is_first: bool `[B,T]`; the state and the action before such a step are dropped.
            exists: bool `[B,T,A]`, None for scenes without agents. An agent that is not there is not corrected: its posterior is
                its prior. Before it has been seen for the first time its state is the initial one.
            state: Carry in, `[B,...]`: the posterior of the step before `t = 0`. None is the initial state.
            first_action: The action that leads to `t = 0`, `[B,U]` or `[B,A,U]`: the last one of the chunk before. None is zero.
            withheld: Steps whose observation is kept from the state, bool `[B,T]` (everybody's) or `[B,T,A]`: there the posterior is
                the prior, as for an agent that is not there, but a state is never begun by it: a row that has not been seen yet
                stays initial. Scheduled sampling and missing frames. None withholds nothing.
            generator: Source of the samples.

        Returns:
            Posterior and prior of every step.
        """

    @abstractmethod
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
        """Roll forward without observations.

        Args:
            state: Where to start, `[B,...]`.
            steps: `H`, how far.
            actions: `[B,H,U]` or `[B,H,A,U]`, the first of which leads from `state` to the first imagined step; or a policy.
            exists: bool `[B,A]`, which agents take part; None means all.
            samples: `S` independent futures; samples and agents run as one batch.
            generator: Source of the samples.

        Returns:
            The imagined states, `[B,S,H,...]`.
        """

    @abstractmethod
    def features(self, state: State) -> Features:
        """What decoders read, for a state with any leading axes."""

    def distribution(self, state: State) -> Distribution | None:
        """The distribution from which the stochastic part of `state` was drawn; None for deterministic dynamics."""
        return None


class Decoder(nn.Module, Statistical, ABC):
    """Turns features into distributions."""

    @abstractmethod
    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        """Decode one step ahead of the anchor (or, for decoders that need none, just decode).

        Args:
            features: Features with leading axes `[...]`, for example `[B,T]`.
            anchor: The situation one step before each of them, with the same leading axes.

        Returns:
            A distribution for each key of the decoder's `OutputSpec`, with the leading axes of the features.
        """

    def rollout(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        """Decode `H` consecutive steps that start from one anchor, integrating where the decoder predicts changes.

        Args:
            features: Leading axes `[B,S,H]`.
            anchor: The last known situation, leading axes `[B]`.
        """
        return self(features, None)

    def ahead(self, tokens: Embedding, features: Features, anchor: Anchor | None, steps: int) -> dict[str, Distribution]:
        """Decode the whole future at once from what is known at one step, for the keys that the spec marks `ahead`.

        Args:
            tokens: What the encoders made of that step, leading axes `[B]`.
            features: Features of its posterior, leading axes `[B]`.
            anchor: Its situation, leading axes `[B]`.
            steps: `H`; never more than the horizon of the spec.

        Returns:
            Distributions with leading axes `[B,1,H]`; nothing by default.
        """
        return {}


class Loss(nn.Module, Statistical, ABC):
    """One or more scalar terms."""

    @abstractmethod
    def forward(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Terms by name, each a scalar; the world model sums weight x term."""
