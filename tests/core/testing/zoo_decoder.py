"""A healthy decoder of agents in their own frames, and what may be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from zoo_configs import ZooDecoder

from twm_core.data.schema import MOTION
from twm_core.nn.distributions import Bernoulli, Distribution, Normal
from twm_core.nn.interfaces import Anchor, Decoder, Features
from twm_core.specs import DecoderSpecs


class Stubborn(Normal):
    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return super().sample(None)


class Unmapped(Normal):
    def detach(self) -> Self:
        return self


class Flat(Normal):
    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return super().sample(generator)[..., :1]


KINDS: dict[str, Callable[[Tensor, Tensor], Normal]] = {
    "samples as it likes": Stubborn,
    "cannot be detached": Unmapped,
    "samples another shape": Flat,
}


class ZooDecoderModel(Decoder):
    def __init__(self, config: ZooDecoder, specs: DecoderSpecs) -> None:
        super().__init__()
        assert specs.latent.agents is not None
        self.fault = config.fault
        self.columns = [specs.obs_spec.get("agents.state").index(n) for n in MOTION]
        self.head = nn.Linear(specs.latent.agents, len(MOTION) + 1)
        self.log_std = nn.Parameter(torch.zeros(len(MOTION)))

    def _wrap(self, loc: Tensor, logit: Tensor) -> dict[str, Distribution]:
        if self.fault == "leaves a feature out":
            loc = loc[..., :4]
        std = self.log_std[: loc.shape[-1]].exp().expand_as(loc)
        decoded: dict[str, Distribution] = {"agents.state": KINDS.get(self.fault, Normal)(loc, std), "agents.exists": Bernoulli(logit)}
        if self.fault == "leaves a key out":
            del decoded["agents.exists"]
        if self.fault == "adds a key":
            decoded["agents.lane"] = decoded["agents.exists"]
        return decoded

    def _emit(self, features: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.head(features)
        if self.fault == "listens to absent agents":
            raw = raw + raw.mean(dim=-2, keepdim=True)
        if self.fault == "depends on the slot":
            raw = raw + 0.1 * torch.arange(raw.shape[-2], device=raw.device)[:, None]
        if self.fault == "mixes the batch":
            raw = raw - torch.where(exists[..., None], raw, 0).mean(dim=0, keepdim=True)
        if self.fault == "divides by nobody":
            return raw[..., :5] * (exists.sum(dim=-1) / exists.sum(dim=-1))[..., None, None], raw[..., 5]
        return raw[..., :5], raw[..., 5]

    def _advance(self, motion: Tensor, change: Tensor, dt: Tensor) -> Tensor:
        x, y, h, vx, vy = motion.unbind(-1)
        dx, dy, dh, du, dv = change.unbind(-1)
        cos, sin = h.cos(), h.sin()
        if self.fault == "decodes in the world's frame":
            cos, sin = torch.ones_like(cos), torch.zeros_like(sin)
        x, y = x + vx * dt + cos * dx - sin * dy, y + vy * dt + sin * dx + cos * dy
        return torch.stack([x, y, h + dh, vx + cos * du - sin * dv, vy + sin * du + cos * dv], dim=-1)

    def _known(self, anchor: Anchor) -> Tensor:
        return torch.where(anchor.exists[..., None], anchor.state[..., self.columns], 0)

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        assert features.agents is not None
        assert anchor is not None
        agents = features.agents
        if self.fault == "remembers earlier steps":
            agents = torch.where(anchor.exists[..., None], agents, 0).cumsum(dim=1)
        change, logit = self._emit(agents, anchor.exists)
        return self._wrap(self._advance(self._known(anchor), change, anchor.dt[..., None]), logit)

    def rollout(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        assert features.agents is not None
        assert anchor is not None
        agents = features.agents
        if self.fault == "mixes the futures":
            agents = agents - agents.mean(dim=1, keepdim=True) * 0.5
        changes, logit = self._emit(agents, anchor.exists[:, None, None])
        if self.fault == "rolls out backwards":
            changes = changes.flip(2)
        motion, states = self._known(anchor)[:, None].expand(-1, changes.shape[1], -1, -1), []
        dt = anchor.dt[:, None, None] * (2 if self.fault == "rolls out at another speed" else 1)
        for h in range(changes.shape[2]):
            motion = self._advance(motion, changes[:, :, h], dt)
            states.append(motion)
        return self._wrap(torch.stack(states, dim=2), logit)


def build(config: ZooDecoder, specs: DecoderSpecs) -> ZooDecoderModel:
    return ZooDecoderModel(config, specs)
