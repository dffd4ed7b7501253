"""`stochastic-gru`: a GRU with a Gaussian prior and posterior on top, the smallest recurrent state-space model.

    deter_t = GRU([stoch_{t-1}, action_{t-1}], deter_{t-1})
    prior_t = N(Linear(deter_t))                    posterior_t = N(Linear([deter_t, embedding_t]))

Each linear layer gives mean and log-variance; stoch is a reparameterised sample, and decoders read [deter, stoch]. The GRU consumes the
sample: it is the latent that is there both while observing and while imagining. Log-variances are `L tanh(raw / L)` with `L =
max_logvar`, which is the identity near zero, so that neither variance nor its inverse can overflow.

The initial state is deter 0, stoch 0 (mean 0, variance 1), and is consumed like any other. In the layout `agents` every agent has its own
state, all share the weights, and a scene token, where there is one, informs every agent's posterior; agents do not interact here. Rows
`R` are `B`, `B*A`, `B*S` or `B*S*A`; sequences are time-major `[T,R,...]` inside.

Masks are those of `gru`: a row that has not been corrected yet stays initial, one that has is carried by its prior where it is not
corrected. Prior and posterior share their noise, so that they are the same sample there.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core import DynamicsSpecs
from twm_core.nn.actions import action_parts, check_actions, previous_actions
from twm_core.nn.distributions import Normal
from twm_core.nn.imagining import Futures
from twm_core.nn.interfaces import Dynamics, Embedding, Features, Policy, Trace
from twm_core.nn.presence import presence
from twm_core.nn.state import time_major
from twm_recurrent.config import StochasticGRUConfig
from twm_recurrent.gru_cell import gru_gates


class StochasticState(NamedTuple):
    """One state with leading axes `[...]` (layout `scene`) or `[...,A]` (layout `agents`).

    Attributes:
        deter: Deterministic part, `[...,D]`.
        stoch: The sample, `[...,G]`.
        mean: Mean of the Gaussian it was drawn from, `[...,G]`.
        std: Its standard deviation, `[...,G]`.
        present: 1 where it was there at this step, so that its next action counts, `[...]`.
    """

    deter: Tensor
    stoch: Tensor
    mean: Tensor
    std: Tensor
    present: Tensor


def build(config: StochasticGRUConfig, specs: DynamicsSpecs) -> StochasticGRU:
    """The dynamics for a config and the specs around it."""
    return StochasticGRU(config=config, specs=specs)


class StochasticGRU(Dynamics):
    """GRU with prior and posterior. Its recurrent weights are those of a torch.nn.GRUCell (attribute `gru`), on inputs [stoch, action].

    Args:
        config: Sizes.
        given: Embedding, action and latent specs.
    """

    def __init__(self, *, config: StochasticGRUConfig, specs: DynamicsSpecs) -> None:
        super().__init__()
        self.latent = specs.latent
        self.config = config
        self.action = specs.action
        self.per_agent = specs.latent.layout == "agents"
        self.independent = self.per_agent  # agents do not hear of one another here
        tokens = ((specs.embedding.agents or 0) if self.per_agent else 0) + (specs.embedding.scene or 0)
        self.gru = nn.GRUCell(config.stoch + (specs.action.width if specs.action is not None else 0), config.deter)
        self.prior = nn.Linear(config.deter, 2 * config.stoch)
        self.posterior = nn.Linear(config.deter + tokens, 2 * config.stoch)

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> StochasticState:
        device = device if device is not None else self.prior.weight.device
        stoch = torch.zeros(*batch_shape, self.config.stoch, device=device)
        deter = torch.zeros(*batch_shape, self.config.deter, device=device)
        return StochasticState(deter, stoch, stoch.clone(), torch.ones_like(stoch), torch.zeros(batch_shape, device=device))

    def features(self, state: StochasticState) -> Features:
        joined = torch.cat((state.deter, state.stoch), dim=-1)
        return Features(None, joined) if self.per_agent else Features(joined, None)

    def distribution(self, state: StochasticState) -> Normal:
        return Normal(state.mean, state.std)

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: StochasticState | None = None,
        first_action: Tensor | None = None,
        withheld: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Trace:
        check_actions(actions, self.action)
        exists = exists if self.per_agent else None
        tokens = self._tokens(embedding)
        batch, steps = tokens.shape[:2]
        lead = tuple(tokens.shape[2:-1])  # () or (A,)
        start = state if state is not None else self.initial((batch, *lead), device=tokens.device)
        first = is_first.view(batch, steps, *(1 for _ in lead)).expand(batch, steps, *lead)
        # Only a state that was never stepped has a deterministic part of exactly zero.
        known = presence(first, exists, (start.deter.detach() != 0).any(-1), start.present > 0, withheld)
        masked = exists is not None or withheld is not None
        if masked:
            tokens = torch.where(known.corrected.unsqueeze(-1), tokens, 0.0)

        # Batch first, so that the noise of a scene does not depend on how many scenes follow it.
        drawn = torch.randn((batch, steps, *lead, self.config.stoch), generator=generator, device=tokens.device)
        noise = time_major(drawn).unbind(0)
        keep = time_major(known.keep.unsqueeze(-1)).float().unbind(0)
        corrected = time_major(known.corrected.unsqueeze(-1)).unbind(0) if masked else None
        seen = time_major(known.has_started.unsqueeze(-1)).float().unbind(0) if masked else None
        actions_into: tuple[Tensor, ...] | None = None
        if actions is not None:
            before_each = previous_actions(actions, first_action, is_first)
            actions_into = self._action_parts(before_each, known.before if exists is not None else None, agents=lead).unbind(0)
        # Both of these weights are sliced once: their gradients are then put back once, not at every step.
        from_stoch, from_deter = self.gru.weight_ih[:, : self.config.stoch], self.posterior.weight[:, : self.config.deter]
        from_tokens = F.linear(time_major(tokens), self.posterior.weight[:, self.config.deter :], self.posterior.bias).unbind(0)
        deter, stoch = start.deter.reshape(-1, self.config.deter).float(), start.stoch.reshape(-1, self.config.stoch).float()
        deters: list[Tensor] = []
        stochs: list[Tensor] = []
        posteriors: list[Tensor] = []
        priors: list[Tensor] = []
        for t in range(steps):
            deter = self._step(from_stoch, deter * keep[t], stoch * keep[t], None if actions_into is None else actions_into[t])
            raw = F.linear(deter, from_deter) + from_tokens[t]
            if corrected is not None:
                priors.append(self.prior(deter))
                raw = torch.where(corrected[t], raw, priors[-1])
            mean, std = self._gaussian(raw)
            stoch = torch.addcmul(mean, std, noise[t])
            if seen is not None:
                stoch = stoch * seen[t]
            deters.append(deter)
            stochs.append(stoch)
            posteriors.append(raw)

        def stack(rows: list[Tensor]) -> Tensor:
            return torch.stack([x.view(batch, *lead, -1) for x in rows], dim=1)

        reached, sample, (mean, std) = stack(deters), stack(stochs), self._gaussian(stack(posteriors))
        # Where everybody is always corrected no step needs the prior, so that it is one product for the whole sequence.
        prior_mean, prior_std = self._gaussian(stack(priors) if masked else self.prior(reached))
        prior = StochasticState(reached, torch.addcmul(prior_mean, prior_std, drawn), prior_mean, prior_std, known.before.float())
        if masked:
            begun = known.has_started.unsqueeze(-1)
            reached, mean, std = torch.where(begun, reached, 0.0), torch.where(begun, mean, 0.0), torch.where(begun, std, 1.0)
        return Trace(StochasticState(reached, sample, mean, std, known.present.float()), prior)

    def imagine(
        self,
        state: StochasticState,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> StochasticState:
        ahead = Futures(
            state,
            steps,
            actions,
            spec=self.action,
            exists=exists if self.per_agent else None,
            samples=samples,
            part=partial(self._action_parts, agents=tuple(state.deter.shape[1:-1])),  # () or (A,)
            features=self.features,
        )
        here = ahead.start
        lead = tuple(here.deter.shape[:-1])  # (B*S,) or (B*S, A)
        present = torch.ones_like(here.present) if ahead.exists is None else ahead.exists.float()
        drawn = torch.randn((lead[0], steps, *lead[1:], self.config.stoch), generator=generator, device=here.deter.device)
        noise = time_major(drawn).unbind(0)
        from_stoch = self.gru.weight_ih[:, : self.config.stoch]
        deter, stoch = here.deter.reshape(-1, self.config.deter).float(), here.stoch.reshape(-1, self.config.stoch).float()
        states: list[StochasticState] = []
        for t in range(steps):
            deter = self._step(from_stoch, deter, stoch, ahead.action_part(t, here))
            mean, std = self._gaussian(self.prior(deter))
            stoch = torch.addcmul(mean, std, noise[t])
            here = StochasticState._make((*(x.view(*lead, -1) for x in (deter, stoch, mean, std)), present))
            states.append(here)
        return ahead.join(states)

    def _step(self, from_stoch: Tensor, deter: Tensor, stoch: Tensor, action_part: Tensor | None) -> Tensor:
        """The next deterministic part `[R,D]`."""
        into = F.linear(stoch, from_stoch, self.gru.bias_ih)
        if action_part is not None:
            into = into + action_part
        return gru_gates(into, F.linear(deter, self.gru.weight_hh, self.gru.bias_hh), deter)

    def _gaussian(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation `[...,G]`, float32, from a linear layer's output `[...,2G]`."""
        mean, logvar = raw.float().chunk(2, dim=-1)
        limit = self.config.max_logvar
        return mean, (0.5 * limit * torch.tanh(logvar / limit)).exp()

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

    def _action_parts(self, actions: Tensor, exists: Tensor | None, *, agents: tuple[int, ...]) -> Tensor:
        """The GRU's products with the actions, `[T,R,3D]`; see `action_parts`."""
        check_actions(actions, self.action)
        assert self.action is not None
        weight = self.gru.weight_ih[:, self.config.stoch :]
        return action_parts(actions, self.action, exists, lambda x: F.linear(x, weight), agents=agents)
