"""`rssm-cat`: a recurrent state-space model with categorical latents, for one latent per scene or one per agent.

    deter_t = cell(deter_{t-1}, stoch_{t-1}, action_{t-1}, message_{t-1})
    prior:     stoch_t ~ p(. | deter_t)                posterior: stoch_t ~ q(. | deter_t, embedding_t)

(Hafner et al., "Mastering diverse domains through world models", 2023). In the layout `agents` every agent has such a state, all share
the weights, and the message is attention over the other agents' previous states (`interaction.py`). Inside, scenes and agents are
one batch of `R` rows (`R = B`, `B*A`, `B*S` or `B*S*A`) and sequences are time-major `[T,R,...]`.

Masks. A row starts anew (zero state) at `is_first`, and at the first step at which its agent is seen. Before that its posterior is
the initial state. An agent that is absent after having been seen is carried by its prior. The prior is always the step from the
posterior before, so that it knows nothing of the present step, not even who exists.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from twm_core import DynamicsGiven, UsageError
from twm_core.nn.actions import check_actions, masked_actions, previous_actions, spread_over_agents
from twm_core.nn.distributions import Categorical
from twm_core.nn.interfaces import Dynamics, Embedding, Features, Policy, Trace
from twm_core.nn.presence import presence
from twm_core.nn.state import repeat_samples, stack_time, time_major, unfold_samples
from twm_rssm.cell import Cell
from twm_rssm.config import RSSMCatConfig
from twm_rssm.heads import Head, Posterior
from twm_rssm.interaction import Interaction, attention_bias
from twm_rssm.sampling import straight_through
from twm_rssm.state import RSSMState


def build(config: RSSMCatConfig, given: DynamicsGiven) -> RSSM:
    """The dynamics for a config and the specs around it."""
    return RSSM(config=config, given=given)


class _Sequence(NamedTuple):
    """What the scan reads, prepared for the whole sequence, time first."""

    tokens: Tensor  # T R hidden: the embedding's part of the posterior
    action_parts: Tensor | None  # T R D: the action's part of the cell
    keep: Tensor  # T R 1: 0 where the state is dropped before the step
    heard: Tensor | None  # T B A bool: who may be attended to
    uniform: Tensor  # T R G: the noise
    forced: Tensor | None  # T R G C: samples to use instead
    masks: tuple[Tensor, Tensor] | None  # T R 1 each: absent after having been seen (bool), seen (0 or 1); None where nobody is masked


class _Scan(NamedTuple):
    """What the scan gives for each step; the last three only where agents may be masked."""

    deter: list[Tensor]  # R D
    stoch: list[Tensor]  # R G C
    logits: list[Tensor]  # R G C
    posterior_deter: list[Tensor]  # R D: zero for agents that were never seen
    prior_logits: list[Tensor]  # R G C
    prior_stoch: list[Tensor]  # R G C


class RSSM(Dynamics):
    """Categorical recurrent state-space model; the config fixes sizes, `given` the layout and the widths around it.

    Args:
        config: Sizes.
        given: Embedding, action and latent specs.
    """

    def __init__(self, *, config: RSSMCatConfig, given: DynamicsGiven) -> None:
        super().__init__()
        self.latent = given.latent
        self.config = config
        self.per_agent = given.latent.layout == "agents"
        self.action = given.action
        self.shape = (config.groups, config.classes)
        stoch = config.groups * config.classes
        message = self.per_agent and config.heads > 0
        self.cell = Cell(
            deter=config.deter,
            stoch=stoch,
            action=given.action.width if given.action is not None else 0,
            message=message,
            hidden=config.hidden,
            blocks=config.blocks,
            layers=config.dynlayers,
            eps=config.eps,
        )
        self.interaction = Interaction(config.hidden, heads=config.heads) if message else None
        width = (given.embedding.agents or 0) if self.per_agent else 0
        # In the layout `agents` a scene token, where there is one, informs every agent's posterior.
        width += given.embedding.scene or 0
        self.posterior = Posterior(config.deter, width, config.hidden, stoch, layers=config.obslayers, eps=config.eps)
        self.prior = Head(config.deter, config.hidden, stoch, layers=config.imglayers, eps=config.eps)

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> RSSMState:
        device = device if device is not None else self.cell.own.device
        stoch = torch.zeros(*batch_shape, *self.shape, device=device)
        return RSSMState(
            torch.zeros(*batch_shape, self.config.deter, device=device),
            stoch,
            torch.zeros_like(stoch),
            torch.zeros(batch_shape, device=device),
        )

    def features(self, state: RSSMState) -> Features:
        joined = torch.cat((state.deter, state.stoch.flatten(-2)), dim=-1)
        return Features(None, joined) if self.per_agent else Features(joined, None)

    def distribution(self, state: RSSMState) -> Categorical:
        return Categorical(state.logits, self.config.unimix)

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: RSSMState | None = None,
        first_action: Tensor | None = None,
        generator: torch.Generator | None = None,
        forced: Tensor | None = None,
    ) -> Trace:
        """Run through a sequence, as `Dynamics.observe`, with one more argument, `forced`.

        The samples of prior and posterior share their noise, so that they are equal where the agent is absent.

        Args:
            embedding: Tokens `[B,T,...]`.
            actions: `[B,T,U]` or `[B,T,A,U]`.
            is_first: bool `[B,T]`.
            exists: bool `[B,T,A]`; None means that all agents exist.
            state: Carry in.
            generator: Source of the samples.
            first_action: The action that leads to `t = 0`, `[B,U]` or `[B,A,U]`; None is zero.
            forced: Posterior samples `[B,T,...,G,C]` to use instead of drawing.
        """
        if not self.per_agent:
            exists = None
        tokens = self._tokens(embedding, exists)
        batch, steps = tokens.shape[:2]
        lead = tuple(tokens.shape[2:-1])  # () or (A,)
        carry = state if state is not None else self.initial((batch, *lead), device=tokens.device)
        first = is_first.view(batch, steps, *(1 for _ in lead)).expand(batch, steps, *lead)
        known = presence(first, exists, carry.stoch.detach().sum((-2, -1)) > 0, carry.present > 0)
        # Batch first, so that the noise of a scene does not depend on how many scenes follow it.
        uniform = torch.rand((batch, steps, *lead, self.shape[0]), generator=generator, device=tokens.device)
        sequence = _Sequence(
            tokens=self.posterior.from_embedding(time_major(tokens)),
            action_parts=self._previous_action_parts(actions, first_action, is_first, known.before, agents=lead),
            keep=time_major(known.keep.unsqueeze(-1)).float(),
            heard=known.before.transpose(0, 1) if self.interaction is not None else None,
            uniform=time_major(uniform),
            forced=None if forced is None else time_major(forced.flatten(-2)).unflatten(-1, self.shape),
            masks=None if exists is None else (time_major((known.seen & ~exists)[..., None]), time_major(known.seen[..., None]).float()),
        )
        scan = self._scan(sequence, carry)

        def stack(steps: list[Tensor], *shape: int) -> Tensor:
            return torch.stack([x.view(batch, *lead, *shape) for x in steps], dim=1)

        deter, logit, stoch = stack(scan.deter, -1), stack(scan.logits, *self.shape), stack(scan.stoch, *self.shape)
        if exists is None:
            posterior_deter, prior_logit = deter, self.prior(deter).unflatten(-1, self.shape)
            prior_stoch = straight_through(prior_logit, uniform, self.config.unimix)
        else:
            posterior_deter = stack(scan.posterior_deter, -1)
            prior_logit, prior_stoch = stack(scan.prior_logits, *self.shape), stack(scan.prior_stoch, *self.shape)
        posterior = RSSMState(posterior_deter, stoch, logit, known.present.float())
        return Trace(posterior, RSSMState(deter, prior_stoch, prior_logit, known.before.float()))

    def imagine(
        self,
        state: RSSMState,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> RSSMState:
        if steps < 1:
            raise UsageError(f"imagine needs at least one step, got {steps}")
        if actions is None:
            check_actions(None, self.action)
        here = repeat_samples(state, samples)
        lead = tuple(here.deter.shape[:-1])  # (B*S,) or (B*S, A)
        uniform = torch.rand((lead[0], steps, *lead[1:], self.shape[0]), generator=generator, device=here.deter.device)
        noise = time_major(uniform).unbind(0)
        part_of = None if exists is None or not self.per_agent else exists.repeat_interleave(samples, dim=0)
        present = torch.ones_like(here.present) if part_of is None else part_of.float()
        bias = attention_bias(present > 0) if self.interaction is not None else None
        parts: tuple[Tensor, ...] | None = None
        if isinstance(actions, Tensor):
            parts = self._action_parts(actions.repeat_interleave(samples, dim=0), part_of, agents=lead[1:]).unbind(0)
        # One-hot samples times a matrix is a sum of its rows. Not for the state handed in: it may be all zero, or carry gradients.
        table = None if torch.is_grad_enabled() else self.cell.stoch_in.weight.t().contiguous()
        deter = here.deter.reshape(-1, self.config.deter).float()
        stoch_in = self.cell.stoch_in(here.stoch.reshape(deter.shape[0], -1).float())
        states: list[RSSMState] = []
        for t in range(steps):
            if parts is not None:
                part = parts[t]
            elif actions is None:
                part = None
            else:
                chosen = actions(self.features(here))  # pyrefly: ignore[not-callable]
                part = self._action_parts(chosen.unsqueeze(1), part_of, agents=lead[1:])[0]
            deter = self._step(deter, stoch_in, part, bias)
            logits = self.prior(deter).unflatten(-1, self.shape)
            stoch = straight_through(logits, noise[t], self.config.unimix)
            here = RSSMState(deter.view(*lead, -1), stoch.view(*lead, *self.shape), logits.view(*lead, *self.shape), present)
            states.append(here)
            if t + 1 < steps:
                stoch_in = self.cell.stoch_in(stoch.flatten(1)) if table is None else self._sum_of_rows(stoch, table)
        return unfold_samples(stack_time(states), samples)

    def _scan(self, sequence: _Sequence, carry: RSSMState) -> _Scan:
        """The loop over time. Masks are applied in here, while a step is in the cache, not to the whole sequence afterwards."""
        deter = carry.deter.reshape(-1, self.config.deter).float()
        stoch = carry.stoch.reshape(deter.shape[0], -1).float()
        tokens, keep, uniform = sequence.tokens.unbind(0), sequence.keep.unbind(0), sequence.uniform.unbind(0)
        parts = None if sequence.action_parts is None else sequence.action_parts.unbind(0)
        forced = None if sequence.forced is None else sequence.forced.unbind(0)
        masks = None if sequence.masks is None else (sequence.masks[0].unbind(0), sequence.masks[1].unbind(0))
        out = _Scan([], [], [], [], [], [])
        for t in range(len(tokens)):
            bias = None if sequence.heard is None else attention_bias(sequence.heard[t])
            stoch_in = self.cell.stoch_in(stoch * keep[t])
            deter = self._step(deter * keep[t], stoch_in, None if parts is None else parts[t], bias)
            logits = self.posterior(deter, tokens[t])
            if masks is not None:
                prior = self.prior(deter)
                logits = torch.where(masks[0][t], prior, logits)
                out.prior_logits.append(prior.unflatten(-1, self.shape))
                out.prior_stoch.append(straight_through(out.prior_logits[-1], uniform[t], self.config.unimix))
            logits = logits.unflatten(-1, self.shape)
            hot = straight_through(logits, uniform[t], self.config.unimix, None if forced is None else forced[t])
            if masks is not None:
                seen = masks[1][t].unsqueeze(-1)
                hot, logits = hot * seen, logits * seen
                out.posterior_deter.append(deter * masks[1][t])
            out.deter.append(deter)
            out.stoch.append(hot)
            out.logits.append(logits)
            stoch = hot.flatten(1)
        return out

    def _step(self, deter: Tensor, stoch_in: Tensor, action_part: Tensor | None, bias: Tensor | None) -> Tensor:
        inputs = self.cell.inputs(deter, stoch_in)
        message = None
        if self.interaction is not None and bias is not None:
            message = self.interaction(inputs[:, 0], bias)
        return self.cell(deter, inputs, action_part, message)

    def _sum_of_rows(self, stoch: Tensor, table: Tensor) -> Tensor:
        """What `stoch_in` gives for one-hot variables `[R,G,C]`, from its transposed weight."""
        groups, classes = self.shape
        index = stoch.argmax(-1) + torch.arange(0, groups * classes, classes, device=stoch.device)
        return F.embedding_bag(index, table, mode="sum") + self.cell.stoch_in.bias

    def _tokens(self, embedding: Embedding, exists: Tensor | None) -> Tensor:
        """What the posterior sees, `[B,T,E]` or `[B,T,A,E]`, zero where an agent does not exist."""
        scene, agents = embedding
        if not self.per_agent:
            assert scene is not None, "layout 'scene' needs a scene token"
            return scene.float()
        assert agents is not None, "layout 'agents' needs agent tokens"
        tokens = agents.float() if exists is None else torch.where(exists.unsqueeze(-1), agents.float(), 0.0)
        if scene is None:
            return tokens
        return torch.cat((tokens, scene.float().unsqueeze(2).expand(*tokens.shape[:-1], -1)), dim=-1)

    def _previous_action_parts(
        self, actions: Tensor | None, first_action: Tensor | None, is_first: Tensor, before: Tensor, *, agents: tuple[int, ...]
    ) -> Tensor | None:
        """The part of the action that leads to each step, `[T,R,D]`; an action before a reset is zero."""
        check_actions(actions, self.action)
        if actions is None or self.action is None:
            return None
        return self._action_parts(previous_actions(actions, first_action, is_first), before, agents=agents)

    def _action_parts(self, actions: Tensor, exists: Tensor | None, *, agents: tuple[int, ...]) -> Tensor:
        """`[B,T,U]` or `[B,T,A,U]` to `[T,R,D]`; what an agent that did not exist did counts as zero (`exists` `[B,T,A]` or `[B,A]`)."""
        check_actions(actions, self.action)
        assert self.action is not None
        actions = masked_actions(actions, self.action, exists)
        if self.action.layout == "agents":
            return self.cell.action_part(time_major(actions))
        return spread_over_agents(self.cell.action_part(actions.transpose(0, 1)), agents)
