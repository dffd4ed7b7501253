"""Healthy stochastic dynamics with one latent for each agent, and what may be wrong with such."""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from zoo_configs import ZooDynamics

from twm_core.nn.distributions import Normal
from twm_core.nn.interfaces import Dynamics, Embedding, Features, Policy, Trace
from twm_core.nn.state import repeat_samples, stack_time, unfold_samples, where_state
from twm_core.specs import DynamicsSpecs


class ZooState(NamedTuple):
    deter: Tensor
    stoch: Tensor
    mean: Tensor
    std: Tensor
    has_started: Tensor
    present: Tensor


class Upside(Normal):
    """A Gaussian whose divergence has the wrong sign."""

    def kl(self, other: Self) -> Tensor:
        return -super().kl(other)


class ZooDynamicsModel(Dynamics):
    def __init__(self, config: ZooDynamics, specs: DynamicsSpecs) -> None:
        super().__init__()
        self.fault, self.latent, self.specs, self.config = config.fault, specs.latent, specs, config
        assert specs.embedding.agents is not None
        tokens = specs.embedding.agents + (specs.embedding.scene or 0)
        action = specs.action.width if specs.action else 0
        if self.fault == "ignores actions":
            action = 0
        self.core = nn.Linear(2 * config.deter + config.stoch + action, config.deter)
        self.prior = nn.Linear(config.deter, 2 * config.stoch)
        self.posterior = nn.Linear(config.deter + tokens, 2 * config.stoch)
        self.uses_action = action > 0
        self.independent = self.fault == "says that its agents are independent"

    def initial(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> ZooState:
        return self._start(batch_shape[:1] if self.fault == "starts with another shape" else batch_shape, device=device)

    def _start(self, batch_shape: tuple[int, ...], *, device: torch.device | None = None) -> ZooState:
        device = device or self.core.weight.device
        wide = torch.zeros(*batch_shape, self.config.deter, device=device)
        z = torch.zeros(*batch_shape, self.config.stoch, device=device)
        none = torch.zeros(batch_shape, device=device)
        return ZooState(wide, z, z, torch.ones_like(z), none, none)

    def features(self, state: ZooState) -> Features:
        return Features(None, torch.cat([state.deter, state.stoch], dim=-1))

    def distribution(self, state: ZooState) -> Normal | None:
        if self.fault == "has no distribution":
            return None
        return (Upside if self.fault == "has a negative divergence" else Normal)(state.mean, state.std)

    def _draw(self, raw: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, width = raw.chunk(2, dim=-1)
        std = width.sigmoid() + 0.1
        return mean + std * noise, mean, std

    def _step(self, state: ZooState, action: Tensor | None, mask: Tensor, acting: Tensor, noise: Tensor) -> ZooState:
        """The prior state after `state` `[B,A,...]`; `mask` tells who is listened to, `acting` whose actions count."""
        here = mask.unsqueeze(-1)
        if self.fault == "listens to absent agents":
            here = torch.ones_like(here)
        message = torch.where(here, state.deter.tanh(), 0).sum(dim=1, keepdim=True) / 4
        if self.fault == "mixes the batch":
            message = message.mean(dim=0, keepdim=True).expand_as(message)
        parts = [state.deter, state.stoch, message.expand_as(state.deter)]
        if self.uses_action:
            assert action is not None
            if action.dim() == 2:
                action = action[:, None].expand(-1, state.deter.shape[1], -1)
            parts.append(torch.where(acting.unsqueeze(-1), action, 0))
        deter = torch.tanh(self.core(torch.cat(parts, dim=-1)))
        if self.fault == "depends on the slot":
            deter = deter + 0.1 * torch.arange(deter.shape[1], device=deter.device)[:, None]
        return ZooState(deter, *self._draw(self.prior(deter), noise), state.has_started, state.present)

    def observe(
        self,
        embedding: Embedding,
        actions: Tensor | None,
        is_first: Tensor,
        exists: Tensor | None,
        *,
        state: ZooState | None = None,
        first_action: Tensor | None = None,
        withheld: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Trace:
        assert embedding.agents is not None
        assert exists is not None
        tokens = embedding.agents
        if embedding.scene is not None:
            tokens = torch.cat([tokens, embedding.scene.unsqueeze(2).expand(-1, -1, tokens.shape[2], -1)], dim=-1)
        hidden = torch.zeros_like(exists)
        if withheld is not None and self.fault != "sees what is withheld":
            hidden = (withheld if withheld.dim() == 3 else withheld.unsqueeze(-1)).expand_as(exists)
            tokens = torch.where(hidden.unsqueeze(-1), 0, tokens)
        if self.fault == "averages tokens of absent agents":
            tokens = torch.where(exists.unsqueeze(-1), tokens, 0) + 0.1 * tokens.nan_to_num().clamp(-9, 9).mean(dim=2, keepdim=True)
        elif self.fault != "masks its results only":
            tokens = torch.where(exists.unsqueeze(-1), tokens, 0)
        batch, steps, agents = exists.shape
        initial = self._start((batch, agents), device=tokens.device)
        carry = initial if state is None else state
        posteriors, priors = [], []
        for t in range(steps):
            first = is_first[:, t]
            if self.fault != "ignores is_first":
                carry = where_state(~first, carry, initial)
            action = None if actions is None else (actions[:, t - 1] if t else torch.zeros_like(actions[:, 0]))
            if not t and first_action is not None and self.fault != "ignores the first action":
                action = first_action
            if action is not None and self.fault != "ignores is_first":
                action = torch.where(first.reshape(-1, *(1,) * (action.dim() - 1)), 0, action)
            noise = torch.randn((batch, agents, self.config.stoch), generator=generator, device=tokens.device)
            if self.fault == "draws from the global generator":
                noise = torch.randn(noise.shape, device=noise.device)
            mask = exists[:, t] if self.fault == "knows who will be there" else carry.present > 0
            prior = self._step(carry, action, mask, carry.present > 0, noise)
            if self.fault == "looks before it predicts":
                shift = torch.where(exists[:, t, :, None], tokens[:, t].mean(dim=-1, keepdim=True), 0)
                prior = prior._replace(mean=prior.mean + shift, stoch=prior.stoch + shift)
            raw = self.posterior(torch.cat([prior.deter, tokens[:, t]], dim=-1))
            if self.fault == "minds a mask that withholds nothing" and withheld is not None:
                raw = raw * 0.5
            if self.fault == "has a clock outside of its state":
                raw = raw * (1 + t)
            corrected = ZooState(prior.deter, *self._draw(raw, noise), prior.has_started, prior.present)
            if self.fault == "knows the action that follows" and actions is not None:
                corrected = corrected._replace(
                    deter=corrected.deter + torch.where(exists[:, t, :, None], actions[:, t], 0).mean(-1, keepdim=True)
                )
            here, before = exists[:, t] & ~hidden[:, t], carry.has_started > 0
            if self.fault == "is begun by what is withheld":
                before = before | exists[:, t]
            by = here | before if self.fault == "corrects absent agents" else here
            kept = prior if self.fault == "moves agents not seen yet" else where_state(before, prior, initial)
            if self.fault == "stands still while withheld":
                kept = where_state(hidden[:, t] & before, carry, kept)
            carry = where_state(by, corrected, kept)
            carry = carry._replace(has_started=(before | here).float(), present=exists[:, t].float())
            shown = carry
            if self.fault == "sees the next step":
                later = torch.where(exists[:, t, :, None], tokens[:, min(t + 1, steps - 1)].mean(dim=-1, keepdim=True), 0)
                shown = carry._replace(mean=carry.mean + later)
            posteriors.append(shown)
            priors.append(prior)
        return Trace(stack_time(posteriors), stack_time(priors))

    def imagine(
        self,
        state: ZooState,
        steps: int,
        actions: Tensor | Policy | None = None,
        *,
        exists: Tensor | None = None,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> ZooState:
        here = repeat_samples(state, samples)
        batch, agents = state.has_started.shape
        mask = torch.ones_like(here.present) > 0 if exists is None else exists.repeat_interleave(samples, dim=0)
        if isinstance(actions, Tensor):
            actions = actions.repeat_interleave(samples, dim=0)
            if self.fault == "knows later actions":
                actions = actions.mean(dim=1, keepdim=True).expand_as(actions)
        found, chosen = [], None
        for h in range(steps):
            noise = torch.randn((batch, samples, agents, self.config.stoch), generator=generator, device=mask.device)
            if self.fault == "gives equal samples":
                noise = noise[:, :1].expand_as(noise)
            if self.fault == "keeps its own seed":
                noise = torch.randn(noise.shape, generator=torch.Generator().manual_seed(1))
            if callable(actions):
                if chosen is None or self.fault != "asks its policy once":
                    chosen = actions(self.features(here))
                action = chosen
            else:
                action = None if actions is None else actions[:, h]
            here = self._step(here, action, mask, mask, noise.flatten(0, 1))
            if self.fault == "imagines otherwise":
                here = here._replace(mean=here.mean * 0.5)
            found.append(here)
        future = unfold_samples(stack_time(found), samples)
        if self.fault == "swaps samples and steps":
            future = type(future)(*(x.transpose(1, 2) for x in future))
        return future


def build(config: ZooDynamics, specs: DynamicsSpecs) -> ZooDynamicsModel:
    return ZooDynamicsModel(config, specs)
