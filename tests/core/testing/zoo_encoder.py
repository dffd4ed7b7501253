"""A healthy encoder of agents, and what may be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zoo_configs import ZooEncoder

from twm_core.nn.interfaces import Embedding, Encoder
from twm_core.specs import EncoderSpecs


class ZooEncoderModel(Encoder):
    def __init__(self, config: ZooEncoder, specs: EncoderSpecs) -> None:
        super().__init__()
        self.fault = config.fault
        self.specs = specs
        features = len(specs.obs_spec.get("agents.state").features)
        self.first = nn.Linear(features, config.width)
        self.second = nn.Linear(config.width, config.width)
        self.calls = 0
        if self.fault == "has a dead parameter":
            self.dead = nn.Parameter(torch.ones(3))
        if self.fault == "has a detached layer":
            self.third = nn.Linear(config.width, config.width)
        if self.fault == "forgets a buffer":
            self.register_buffer("offset", torch.randn(config.width), persistent=False)
        if self.fault == "forgets its statistics":
            self.register_buffer("mean", torch.zeros(features), persistent=False)
        if self.fault == "normalizes over the batch in training":
            self.norm = nn.BatchNorm1d(config.width)
        if self.fault == "draws weights from numpy":
            self.first.weight.data += torch.from_numpy(np.random.default_rng().normal(size=tuple(self.first.weight.shape))).float()

        self.elsewhere = False

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.elsewhere = True  # moved to a device, be it to the same one
        return super()._apply(fn, recurse)

    def collect_statistics(self, batch: dict[str, Tensor]) -> None:
        if self.fault == "forgets its statistics":
            self.mean += batch["agents.state"].mean(dim=(0, 1, 2))

    def forward(self, batch: dict[str, Tensor]) -> Embedding:
        state, exists = batch["agents.state"], batch["agents.exists"]
        here = exists.unsqueeze(-1)
        if self.fault == "writes into its input":
            state[~exists] = 0
        if self.fault == "decides by a value" and bool(exists.all()):
            state = state + 0
        clean = state if self.fault == "masks the output only" else torch.where(here, state, 0)
        if self.fault == "forgets its statistics":
            clean = torch.where(here, clean - self.mean, 0)
        if self.fault == "sees the next step":
            clean = clean + 0.1 * torch.cat([clean[:, 1:], clean[:, -1:]], dim=1)
        if self.fault == "remembers earlier steps":
            clean = clean.cumsum(dim=1)
        hidden = torch.tanh(self.first(clean / 10))
        if self.fault == "normalizes over the batch in training":
            hidden = torch.where(here, self.norm(hidden.flatten(0, 2)).unflatten(0, hidden.shape[:3]), 0)
        if self.fault == "mixes the batch":
            hidden = hidden - hidden.mean(dim=0, keepdim=True)
        tokens = torch.where(here, self.second(hidden), 0)
        if self.fault == "has a detached layer":
            tokens = tokens + torch.where(here, self.third(hidden).detach(), 0)
        if self.fault == "depends on the slot":
            tokens = tokens + torch.arange(tokens.shape[2], device=tokens.device)[:, None] * 0.1
        if self.fault == "forgets a buffer":
            tokens = tokens + self.offset
        if self.fault == "reads the target":
            tokens = tokens + batch["agents.scored"][:, None, :, None]
        if self.fault == "draws from the global generator":
            tokens = tokens + 0.01 * torch.randn(tokens.shape, device=tokens.device)
        if self.fault == "puts one precision into another":
            kept = torch.zeros(tokens.shape, device=tokens.device)
            tokens = kept.index_add(0, torch.arange(len(kept), device=tokens.device), tokens)
        if self.fault == "computes otherwise elsewhere" and self.elsewhere:
            tokens = 1.1 * tokens
        if self.fault == "counts its calls":
            self.calls += 1
            tokens = tokens + self.calls
        count = exists.sum(dim=2).unsqueeze(-1)
        if self.fault != "divides by nobody":
            count = count.clamp_min(1)
        pooled = torch.where(here, tokens, 0)
        if self.fault == "pools absent agents":
            pooled = tokens + 0.1 * torch.nan_to_num(state[..., :1].clamp(-1e3, 1e3))
        scene = pooled.sum(dim=2) / count
        if self.fault == "normalizes over time":
            scene = F.normalize(scene, dim=1)
        return Embedding(scene, tokens)


def build(config: ZooEncoder, specs: EncoderSpecs) -> nn.Module:
    if config.fault == "builds something else":
        return nn.Linear(1, 1)
    return ZooEncoderModel(config, specs)
