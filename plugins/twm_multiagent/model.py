"""The multi-agent encoder: `agents.state [B,T,A,F]` to agent tokens `[B,T,A,D]` and a scene token `[B,T,D]`.

Each step on its own, or with a few before it (`history`). For each agent: its motion (in its own frame, the scene's or the world's),
normalized with statistics of the training data, joined by embeddings of type, lane and site; a message from its nearest neighbours
(relative poses in its frame); Transformer layers over all agents; a normalized projection. After yukiiwong/traffic_wm (Transformer
across agents, embeddings of site, lane and class), by default with own-frame inputs instead of world coordinates, which do not carry
over to a site that was never seen. The README says how to build that encoder exactly.

What it does not do: look at other steps than those (that is the dynamics' part) or at a map raster (the encoder `roadmap`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.nn.interfaces import Embedding, Encoder
from twm_core.nn.masking import packs_rows, unpack_rows
from twm_core.nn.normalizer import Normalizer
from twm_core.specs import EncoderSpecs, KeySpec, ObservationSpec
from twm_multiagent.attention import ACTIVATIONS, AgentLayer, NeighbourPooling, ScenePooling
from twm_multiagent.config import MultiAgentConfig
from twm_multiagent.features import NeighbourFeatures, OwnFeatures
from twm_multiagent.history import PastPath


class TokenEmbeddings(nn.Module):
    """Embeddings of agent type, lane and site, concatenated or summed; token 0 (unknown) is a learned vector like the others."""

    def __init__(self, config: MultiAgentConfig, obs_spec: ObservationSpec) -> None:
        super().__init__()
        wanted = (("agents.type", config.type_width), ("agents.lane", config.lane_width), ("site", config.site_width))
        self.keys = [(key, width) for key, width in wanted if width and obs_spec.has(key)]
        self.tables = nn.ModuleList(
            nn.Embedding(classes, width if config.embeddings == "concat" else config.inside)
            for key, width in self.keys
            if (classes := obs_spec.get(key).classes)
        )
        self.summed = config.embeddings == "sum"
        self.width = 0 if self.summed else sum(width for _, width in self.keys)

    def forward(self, batch: Batch, exists: Tensor) -> list[Tensor]:
        """One tensor `[B,T,A,·]` for each key."""
        size = exists.shape
        found = []
        for (key, _), table in zip(self.keys, self.tables, strict=True):
            index = batch[key]  # B, B A or B T A
            if index.dim() < 3:
                index = index[:, None, None] if index.dim() == 1 else index[:, None]
            # What stands where nobody exists may be anything, even out of range.
            found.append(table(torch.where(exists, index.expand(size), 0)))
        return found


class MultiAgentEncoder(Encoder):
    """See the module. Masked agents change nothing; agent tokens are permutation-equivariant, the scene token is invariant."""

    def __init__(self, *, config: MultiAgentConfig, obs_spec: ObservationSpec) -> None:
        super().__init__()
        state: KeySpec = obs_spec.get("agents.state")
        width, inside = config.width, config.inside
        self.own = OwnFeatures(state, config.frame)
        self.past = PastPath(state, config.history) if config.history > 1 else None
        known = self.own.width + (self.past.width if self.past is not None else 0)
        self.normaliser = Normalizer(known)
        self.noise, self.dropout = config.noise, config.dropout
        self.tokens = TokenEmbeddings(config, obs_spec)
        self.input = nn.Linear(known + self.tokens.width, inside)
        self.input_norm = nn.LayerNorm(inside)
        self.activation = ACTIVATIONS[config.activation]
        self.input_2 = nn.Linear(inside, inside)
        self.neighbours = NeighbourFeatures(state, config.neighbours) if config.neighbours else None
        self.message = NeighbourPooling(self.neighbours.width, config.pair_width, config.heads, inside) if self.neighbours else None
        self.layers = nn.ModuleList(
            AgentLayer(inside, config.heads, config.dropout, config.forward_activation) for _ in range(config.layers)
        )
        self.agent_tokens, self.pools_tokens = config.agent_tokens, config.pooled == "tokens"
        self.output, self.output_norm = None, None
        if self.agent_tokens or self.pools_tokens:
            self.output, self.output_norm = nn.Linear(inside, width), nn.LayerNorm(width)
        self.pool: ScenePooling | None = None
        if config.pooling != "none":
            inputs = width if self.pools_tokens else inside
            self.pool = ScenePooling(inputs, config.heads, width, attention=config.pooling == "attention")

    def forward(self, batch: Batch) -> Embedding:
        exists = batch["agents.exists"]
        shape = exists.shape  # B T A
        state = torch.where(exists[..., None], batch["agents.state"], 0)
        own = self.normaliser(self._own(state, batch)).clamp(-10, 10)
        if self.training and self.noise > 0:
            own = own + self.noise * torch.randn_like(own)
        parts = [own]
        embedded = self.tokens(batch, exists)
        if not self.tokens.summed:
            parts += embedded
        joined, here = torch.cat(parts, dim=-1).flatten(0, 1), exists.flatten(0, 1)  # (B T) A ...
        pairs = self.neighbours(state.flatten(0, 1), here) if self.neighbours is not None else None
        embedded = [e.flatten(0, 1) for e in embedded]
        # Where agents do not meet in layers, only those that exist are computed, as the rows of one scene.
        packed = not self.layers and packs_rows(here)
        if packed:
            joined, embedded = joined[here][None], [e[here][None] for e in embedded]
            pairs = None if pairs is None else (pairs[0][here][None], pairs[1][here][None])
        x = self.input(joined)
        if self.tokens.summed:
            x = sum(embedded, start=x)
        x = F.dropout(self.activation(self.input_norm(x)), self.dropout, self.training)
        x = self.input_2(x)
        if pairs is not None and self.message is not None:
            x = x + self.message(*pairs)
        if packed:
            x = unpack_rows(x[0], here)
        for layer in self.layers:
            x = layer(x, here)
        tokens = x
        if self.output is not None and self.output_norm is not None:
            tokens = self.output_norm(self.output(x)) * here[..., None]
        scene = None
        if self.pool is not None:
            scene = self.pool(tokens if self.pools_tokens else x, here).unflatten(0, shape[:2])
        return Embedding(scene, tokens.unflatten(0, shape[:2]) if self.agent_tokens else None)

    def collect_statistics(self, batch: Batch) -> None:
        exists = batch["agents.exists"]
        state = torch.where(exists[..., None], batch["agents.state"], 0)
        self.normaliser.update(self._own(state, batch)[exists])

    def _own(self, state: Tensor, batch: Batch) -> Tensor:
        """What is known of each agent by itself, `[B,T,A,W]`: its motion, and its path where a history is asked for."""
        own = self.own(state, batch["agents.exists"])
        return own if self.past is None else torch.cat([own, self.past(state, batch["agents.exists"], batch["is_first"])], dim=-1)


def build(config: MultiAgentConfig, specs: EncoderSpecs) -> MultiAgentEncoder:
    """Build the encoder for the keys of `specs.obs_spec`."""
    return MultiAgentEncoder(config=config, obs_spec=specs.obs_spec)
