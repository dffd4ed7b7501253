"""`rssm-cat` and `rssm-gauss`: recurrent state-space models, for one latent per scene or one per agent.

    deter_t = cell(deter_{t-1}, stoch_{t-1}, action_{t-1}, message_{t-1})
    prior:     stoch_t ~ p(. | deter_t)                posterior: stoch_t ~ q(. | deter_t, embedding_t)

(Hafner et al., "Mastering diverse domains through world models", 2023). The cell is `cell.Cell` or `gru_cell.GRUCell`, the family of
the distributions one of `latents.py`. In the layout `agents` every agent has such a state, all share the weights, and the message is
attention over the other agents' previous states (`interaction.py`). Inside, scenes and agents are one batch of `R` rows (`R = B`,
`B*A`, `B*S` or `B*S*A`), sequences are time-major `[T,R,...]` and what is stochastic is flat, `[R,W]`.

Masks. A row starts anew (initial state) at `is_first`, and at the first step at which its agent is corrected by what is seen. Before
that its posterior is the initial state. A row that has begun and is not corrected, because its agent is absent or its observation is
withheld, is carried by its prior. The prior is always the step from the posterior before, so that it knows nothing of the present step,
not even who exists.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core import DynamicsSpecs, UsageError
from twm_core.nn.actions import check_actions, masked_actions, previous_actions, spread_over_agents
from twm_core.nn.distributions import Categorical, Normal, likeliest
from twm_core.nn.imagining import Futures
from twm_core.nn.interfaces import Dynamics, Embedding, Features, Moves, Policy, Trace
from twm_core.nn.presence import presence
from twm_core.nn.state import time_major
from twm_rssm.cell import Cell
from twm_rssm.config import RSSMCatConfig, RSSMGaussConfig
from twm_rssm.correction import Correction
from twm_rssm.geometry import POSE, PoseAttention
from twm_rssm.gru_cell import GRUCell
from twm_rssm.heads import Head, Posterior
from twm_rssm.interaction import Interaction, attention_bias
from twm_rssm.latents import CategoricalLatents, GaussianLatents, Latents
from twm_rssm.scan import Parts, Sequence, Start, masks, scan
from twm_rssm.state import RSSMState

Config = RSSMCatConfig | RSSMGaussConfig


def build(config: Config, specs: DynamicsSpecs) -> RSSM:
    """The dynamics for a config and the specs around it."""
    return RSSM(config=config, specs=specs)


class RSSM(Dynamics):
    """Recurrent state-space model; the config fixes core, sizes and family, `given` the layout and the widths around it.

    Args:
        config: Of `rssm-cat` or `rssm-gauss`.
        given: Embedding, action and latent specs.
    """

    def __init__(self, *, config: Config, specs: DynamicsSpecs) -> None:
        super().__init__()
        self.latent = specs.latent
        self.config = config
        self.per_agent = specs.latent.layout == "agents"
        self.action = specs.action
        self.family: Latents
        if isinstance(config, RSSMCatConfig):
            self.family = CategoricalLatents(config.groups, config.classes, unimix=config.unimix, stored=config.unimix_stored)
        else:
            self.family = GaussianLatents(config.stoch, std=config.std, min_std=config.min_std)
        self.shape = self.family.shape
        stoch, stats = specs.latent.width - config.deter, math.prod(self.family.stats_shape)
        message = self.per_agent and config.heads > 0
        sizes = {
            "deter": config.deter,
            "stoch": stoch,
            "action": specs.action.width if specs.action is not None else 0,
            "hidden": config.hidden,
            "layers": config.dynlayers,
        }
        self.cell: Cell | GRUCell
        if config.core == "block-gru":
            self.cell = Cell(**sizes, message=message, blocks=config.blocks, norm=config.norm, eps=config.eps)
        else:
            self.cell = GRUCell(**sizes, message=message, norm=config.norm, eps=config.eps)
        self.independent = self.per_agent and not message
        self.interaction = Interaction(config.hidden, heads=config.heads, geometry=config.geometry) if message else None
        self.geometric = message and config.geometry
        width = (specs.embedding.agents or 0) if self.per_agent else 0
        # In the layout `agents` a scene token, where there is one, informs every agent's posterior.
        width += specs.embedding.scene or 0
        self.posterior = Posterior(config.deter, width, config.hidden, stats, layers=config.obslayers, norm=config.norm, eps=config.eps)
        self.prior = Head(config.deter, config.hidden, stats, layers=config.imglayers, norm=config.norm, eps=config.eps)
        self.correction: Correction | None = None
        if config.correction:
            self.correction = Correction(config.deter, width, config.hidden, norm=config.norm, eps=config.eps)
        self.start = nn.Parameter(torch.zeros(config.deter)) if config.initial == "learned" else None

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> RSSMState:
        device = device if device is not None else self.prior.logits.weight.device
        start = self._start()
        if start is None:
            deter = torch.zeros(*batch_shape, self.config.deter, device=device)
            stoch = torch.zeros(*batch_shape, *self.shape, device=device)
        else:
            deter = start.deter[0].to(device).expand(*batch_shape, -1)
            stoch = start.stoch[0].to(device).view(self.shape).expand(*batch_shape, *self.shape)
        stats = torch.zeros(*batch_shape, *self.family.stats_shape, device=device)
        absent = torch.zeros(batch_shape, device=device)
        return RSSMState(deter, stoch, stats, absent, absent, torch.zeros(*batch_shape, POSE if self.geometric else 0, device=device))

    def features(self, state: RSSMState) -> Features:
        joined = torch.cat((state.deter, state.stoch.flatten(-len(self.shape))), dim=-1)
        return Features(None, joined) if self.per_agent else Features(joined, None)

    def distribution(self, state: RSSMState) -> Categorical | Normal:
        return self.family.distribution(state.stats)

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: RSSMState | None = None,
        first_action: Tensor | None = None,
        withheld: Tensor | None = None,
        generator: torch.Generator | None = None,
        motion: Tensor | None = None,
        forced: Tensor | None = None,
    ) -> Trace:
        """Run through a sequence, as `Dynamics.observe`, with one more argument, `forced`.

        The samples of prior and posterior share their noise, so that they are equal (up to rounding) where the state is not corrected.

        Args:
            embedding: Tokens `[B,T,...]`.
            actions: `[B,T,U]` or `[B,T,A,U]`.
            is_first: bool `[B,T]`.
            exists: bool `[B,T,A]`; None means that all agents exist.
            state: Carry in.
            first_action: The action that leads to `t = 0`, `[B,U]` or `[B,A,U]`; None is zero.
            withheld: Observations kept from the state, bool `[B,T]`, or `[B,T,A]` in the layout `agents`.
            generator: Source of the samples.
            motion: x, y, heading, vx, vy of agents at each step, `[B,T,A,5]`, for `geometry`; where it was not told nobody is looked at.
            forced: Posterior samples `[B,T,...,G,C]` or `[B,T,...,S]` to use instead of drawing.

        Raises:
            UsageError: `withheld` is per agent where there is one latent for the scene.
            Mismatch: Actions are declared and missing, or given and not declared.
        """
        if not self.per_agent:
            exists = None
            if withheld is not None and withheld.dim() != 2:
                raise UsageError(
                    f"observe: withheld has shape {tuple(withheld.shape)}, but layout 'scene' has one latent for the scene",
                    "give one flag for each step, [B,T], or set layout to 'agents'",
                )
        tokens = self._tokens(embedding)
        batch, steps = tokens.shape[:2]
        lead = tuple(tokens.shape[2:-1])  # () or (A,)
        carry = state if state is not None else self.initial((batch, *lead), device=tokens.device)
        first = is_first.view(batch, steps, *(1 for _ in lead)).expand(batch, steps, *lead)
        known = presence(first, exists, carry.has_started > 0, carry.present > 0, withheld)
        masked = exists is not None or withheld is not None
        if masked:
            tokens = torch.where(known.corrected.unsqueeze(-1), tokens, 0.0)
        # Batch first, so that the noise of a scene does not depend on how many scenes follow it.
        noise = self.family.noise((batch, steps, *lead), generator=generator, device=tokens.device)
        poses = self._poses(motion, known.present, carry.motion)
        parts = self._begin()
        sequence = Sequence(
            tokens=self.posterior.from_embedding(time_major(tokens)),
            action_parts=self._previous_action_parts(parts, actions, first_action, is_first, known.before, agents=lead),
            attended=known.before.transpose(0, 1) if self.interaction is not None else None,
            pose_attention=self._pose_attention(poses, known.before),
            noise=time_major(noise),
            corrections=None if self.correction is None else self.correction.from_embedding(time_major(tokens)),
            forced=None if forced is None else time_major(forced.flatten(-len(self.shape))).unflatten(-1, self.shape),
            masks=masks(*(time_major(x.unsqueeze(-1)).squeeze(-1) for x in (known.keep, known.has_started, known.corrected))),
        )
        deter = carry.deter.reshape(-1, self.config.deter).float()
        scanned = scan(parts, sequence, deter, carry.stoch.reshape(deter.shape[0], -1).float(), self._start())

        def stack(steps: list[Tensor], *shape: int) -> Tensor:
            return torch.stack([x.view(batch, *lead, *shape) for x in steps], dim=1)

        deter, stats, stoch = stack(scanned.deter, -1), stack(scanned.stats, *self.family.stats_shape), stack(scanned.stoch, *self.shape)
        posterior_deter = stack(scanned.posterior_deter, -1) if masked or self.correction is not None else deter
        prior_stats = self.family.stats(self.prior(deter))
        prior_stoch = self.family.sample(prior_stats, noise)
        if masked:
            # The scan computed the same from fewer rows; a distribution must not tell the two apart by their rounding.
            stats = torch.where((known.has_started & ~known.corrected)[..., None, None], prior_stats, stats)
        posterior = RSSMState(posterior_deter, stoch, stats, known.present.float(), known.has_started.float(), poses[:, 1:])
        before = known.before.float()
        return Trace(posterior, RSSMState(deter, prior_stoch, prior_stats, before, torch.ones_like(before), poses[:, :-1]))

    def imagine(
        self,
        state: RSSMState,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
        moves: Moves | None = None,
    ) -> RSSMState:
        agents = tuple(state.deter.shape[1:-1])
        parts = self._begin()

        def part(actions: Tensor, exists: Tensor | None) -> Tensor:
            return self._action_parts(parts, actions, exists, agents=agents)

        exists = exists if self.per_agent else None
        futures = Futures(state, steps, actions, spec=self.action, exists=exists, samples=samples, part=part, features=self.features)
        here: RSSMState = futures.start
        lead = tuple(here.deter.shape[:-1])  # (B*S,) or (B*S, A)
        noise = self.family.noise((lead[0], steps, *agents), generator=generator, device=here.deter.device)
        if self.config.draws == "stratified" and samples > 1:
            first = noise[:, 0].unflatten(0, (-1, samples))
            noise = torch.cat([self.family.stratified(first, generator=generator).flatten(0, 1)[:, None], noise[:, 1:]], dim=1)
        noise = time_major(noise).unbind(0)
        has_started = torch.ones_like(here.present)
        present = has_started if futures.exists is None else futures.exists.float()
        bias = attention_bias(present > 0) if self.interaction is not None else None
        # One-hot samples times a matrix is a sum of its rows. Not for the state handed in: it may be all zero, or carry gradients.
        one_hot = self.family.one_hot and not torch.is_grad_enabled()
        table = self.cell.stoch_in.weight.t().contiguous() if one_hot else None
        deter = here.deter.reshape(-1, self.config.deter).float()
        stoch_in = parts.cell.stoch_in(here.stoch.reshape(deter.shape[0], -1).float())
        poses = here.motion
        states: list[RSSMState] = []
        for t in range(steps):
            action_part = futures.action_part(t, here)
            deter = parts.step(deter, stoch_in, action_part, bias, self._look(poses, present > 0))
            stats = self.family.stats(parts.prior(deter))
            stoch = self.family.sample(stats, noise[t])
            here = RSSMState(
                deter.view(*lead, -1),
                stoch.view(*lead, *self.shape),
                stats.view(*lead, *self.family.stats_shape),
                present,
                has_started,
                poses,
            )
            if self.geometric and moves is not None:
                poses = torch.cat((moves(self.features(here), poses[..., :-1]), poses[..., -1:]), dim=-1)
                here = here._replace(motion=poses)
            states.append(here)
            if t + 1 < steps:
                stoch_in = parts.cell.stoch_in(stoch.flatten(1)) if table is None else self._sum_of_rows(stoch, table)
        return futures.join(states)

    def _poses(self, motion: Tensor | None, present: Tensor, carried: Tensor) -> Tensor:
        """Where agents are before the first step and at each one, `[B,T+1,A,6]`, from their motion `[B,T,A,5]`."""
        if not self.geometric or motion is None:
            poses = carried.new_zeros(*present.shape, carried.shape[-1])
        else:
            poses = torch.cat((torch.where(present.unsqueeze(-1), motion, 0.0), present.unsqueeze(-1).to(motion.dtype)), dim=-1)
        return torch.cat((carried.unsqueeze(1), poses), dim=1)

    def _pose_attention(self, poses: Tensor, before: Tensor) -> PoseAttention | None:
        """What geometry adds at each step `[T,B,...]`, from where agents `[B,T+1,A,6]` were and who was there `[B,T,A]` before it."""
        return self._look(poses[:, :-1].transpose(0, 1), before.transpose(0, 1))

    def _look(self, poses: Tensor, here: Tensor) -> PoseAttention | None:
        """What geometry adds for poses `[...,A,6]` of those who are there `[...,A]`."""
        if self.interaction is None or self.interaction.geometry is None:
            return None
        pose_attention: PoseAttention = self.interaction.geometry(poses[..., :-1], here & (poses[..., -1] > 0))
        return pose_attention

    def _start(self) -> Start | None:
        """The learned initial state: deter = tanh(parameter), stoch = mode of the prior there; None where it is zero."""
        if self.start is None:
            return None
        deter = self.start.tanh().unsqueeze(0)
        return Start(deter, self.family.mode(self.family.stats(self.prior(deter))).flatten(1))

    def _begin(self) -> Parts:
        interaction = None if self.interaction is None else self.interaction.begin()
        correction = None if self.correction is None else self.correction.begin()
        return Parts(self.cell.begin(), interaction, self.posterior.begin(), self.prior.begin(), self.family, correction)

    def _sum_of_rows(self, stoch: Tensor, table: Tensor) -> Tensor:
        """What `stoch_in` gives for one-hot variables `[R,G,C]`, from its transposed weight."""
        groups, classes = self.shape
        index, certain = likeliest(stoch)
        index = index + torch.arange(0, groups * classes, classes, device=stoch.device)
        rows = F.embedding_bag(index, table, mode="sum") * certain.mean(dim=-1, keepdim=True)
        return rows if self.cell.stoch_in.bias is None else rows + self.cell.stoch_in.bias

    def _tokens(self, embedding: Embedding) -> Tensor:
        """What the posterior sees, `[B,T,E]` or `[B,T,A,E]`."""
        scene, agents = embedding
        if not self.per_agent:
            assert scene is not None, "layout 'scene' needs a scene token"
            return scene.float()
        assert agents is not None, "layout 'agents' needs agent tokens"
        if scene is None:
            return agents.float()
        return torch.cat((agents.float(), scene.float().unsqueeze(2).expand(*agents.shape[:-1], -1)), dim=-1)

    def _previous_action_parts(
        self,
        parts: Parts,
        actions: Tensor | None,
        first_action: Tensor | None,
        is_first: Tensor,
        before: Tensor,
        *,
        agents: tuple[int, ...],
    ) -> Tensor | None:
        """The part of the action that leads to each step, `[T,R,...]`; an action before a reset is zero."""
        check_actions(actions, self.action)
        if actions is None or self.action is None:
            return None
        return self._action_parts(parts, previous_actions(actions, first_action, is_first), before, agents=agents)

    def _action_parts(self, parts: Parts, actions: Tensor, exists: Tensor | None, *, agents: tuple[int, ...]) -> Tensor:
        """`[B,T,U]` or `[B,T,A,U]` to `[T,R,...]`; what an agent that did not exist did counts as zero (`exists` `[B,T,A]` or `[B,A]`).

        Numbers beyond one are divided by their size, as DreamerV3 does.
        """
        check_actions(actions, self.action)
        assert self.action is not None
        actions = masked_actions(actions, self.action, exists)
        actions = actions / actions.abs().clamp_min(1).detach()
        if self.action.layout == "agents":
            return parts.cell.action_part(time_major(actions))
        return spread_over_agents(parts.cell.action_part(actions.transpose(0, 1)), agents)
