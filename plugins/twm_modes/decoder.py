"""The forecasting head: the tokens of one step and learned queries to `K` whole futures of every agent.

    x = GELU(LayerNorm(W token))            h_k = MLP(x + q_k)            logit_k = w h_k
    p_k,t = p_0 + v_0 t dt + R(heading_0) sum_{s <= t} u * (V h_k)_s       in the agent's frame at the last observed step

with `u` the deviation of such increments over the training data, so zeros are constant velocity. One more query gives the centre, a single
future that is trained to be near on average (the mean of several ways to go is often none of them). Mode queries as in Varadarajan et al.,
"MultiPath++", 2021, and Nayakanti et al., "Wayformer", 2022, without their anchors; the loss `modes` tells them apart. It reads what the
encoders made of the last observed step (and, on request, the latent), so it shares them with the world model.

Only agents that exist at that step are computed: rows of absent ones hold constant velocity and zero weights.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.errors import PluginError
from twm_core.nn.batches import same_episode
from twm_core.nn.collision_avoidance import avoid_collisions
from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Anchor, Decoder, Embedding, Features
from twm_core.nn.masking import packs_rows, unpack_rows
from twm_core.nn.normalizer import Normalizer
from twm_core.specs import DecoderSpecs, KeySpec
from twm_modes.config import KEY, MOTION, SIZE, ModesDecoderConfig
from twm_modes.futures import FutureModes
from twm_modes.joint import by_progress

STATE, EXISTS = "agents.state", "agents.exists"
_NARROWEST, _WIDEST = 0.02, 50.0  # metres: what a decoded deviation may be


class ModesDecoder(Decoder):
    """See the module.

    Args:
        config: Sizes and options.
        state: Spec of `agents.state`.
        inputs: Width of what is read of an agent.
        context: Observed steps of a window.
        horizon: `H`, predicted steps.
    """

    def __init__(self, *, config: ModesDecoderConfig, state: KeySpec, inputs: int, context: int, horizon: int) -> None:
        super().__init__()
        self.motion = [state.index(n) for n in MOTION]
        self.context, self.horizon = context, horizon
        self.both, self.still_speed = config.reads == "both", config.still_speed
        self.size = [state.index(n) for n in SIZE] if config.joint else []
        self.unit = Normalizer(2)
        width = config.width
        self.read = nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU())
        self.query = nn.Parameter(0.5 * torch.randn(config.modes + 1, width))
        self.hidden = nn.Sequential(*(layer for _ in range(config.layers) for layer in (nn.Linear(width, width), nn.GELU())))
        self.steps = nn.Linear(width, 2 * horizon)
        self.spread = nn.Linear(width, horizon)
        self.weight = nn.Linear(width, 1, bias=False)  # a softmax over the futures does not depend on a bias

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        """Nothing: no key is decoded step by step."""
        return {}

    def ahead(self, tokens: Embedding, features: Features, anchor: Anchor | None, steps: int) -> dict[str, Distribution]:
        if anchor is None or tokens.agents is None:
            raise PluginError("decoder modes: needs tokens of agents and the last known situation", "pass both")
        exists = anchor.exists
        observed = tokens.agents
        if self.both:
            assert features.agents is not None
            observed = torch.cat([observed, features.agents], dim=-1)
        observed = torch.where(exists[..., None], observed, 0)
        rows = self.read(observed[exists] if packs_rows(exists) else observed.flatten(0, 1))  # R D
        hidden = self.hidden(rows[:, None] + self.query)  # R K+1 D
        increments = self.steps(hidden).float().unflatten(-1, (self.horizon, 2)) * self.unit.std  # R K+1 H 2
        std = self.spread(hidden[:, :-1]).float().exp().clamp(_NARROWEST, _WIDEST)  # R K H
        # Rows of agents that are not there hold zeros: constant velocity, equal weights, one metre.
        moved, spread = unpack_rows(increments, exists), unpack_rows(std.log(), exists).exp()
        weight = unpack_rows(self.weight(hidden[:, :-1]).float().squeeze(-1), exists)
        states = self._integrate(moved, anchor)[..., :steps, :].permute(0, 3, 1, 2, 4)[:, None]  # B 1 H A K+1 5
        spread = spread[..., :steps].permute(0, 3, 1, 2)[:, None]
        modes, logits, centre = states[..., :-1, :], weight[:, None, None].expand(spread.shape), states[..., -1, :]
        if self.size and not self.training:
            order = by_progress(modes[:, 0].movedim(-2, 1)).movedim(1, -1)[:, None, None].expand(spread.shape)  # B 1 H A K
            spread, logits = spread.gather(-1, order), logits.gather(-1, order)
            modes = modes.gather(-2, order[..., None].expand(modes.shape))
            together = self._joint(torch.cat([modes, centre[..., None, :]], dim=-2), anchor)
            modes, centre = together[..., :-1, :], together[..., -1, :]
        return {KEY: FutureModes(modes, spread, logits, centre)}

    def _joint(self, states: Tensor, anchor: Anchor) -> Tensor:
        """Futures `[B,1,H,A,K,5]` in which agents give way to one another; the centre is one of them."""
        size, futures = len(states), states.shape[-2]
        scenes = states[:, 0].movedim(-2, 1).flatten(0, 1)  # B*K H A 5

        def each(x: Tensor) -> Tensor:
            return x[:, None].expand(-1, futures, *x.shape[1:]).flatten(0, 1)

        known = torch.where(anchor.exists[..., None], anchor.state, 0)
        now, extent = known[..., self.motion[:3]], known[..., self.size]
        done = avoid_collisions(scenes, each(now), each(extent), each(anchor.exists), each(anchor.dt))
        return done.unflatten(0, (size, futures)).movedim(1, -2)[:, None]

    def _integrate(self, moved: Tensor, anchor: Anchor) -> Tensor:
        """Increments in the agents' frames `[B,A,K,H,2]` to states in the world, `[B,A,K,H,5]`."""
        known = torch.where(anchor.exists[..., None], anchor.state[..., self.motion], 0)
        x, y, heading, vx, vy = (part[..., None, None] for part in known.unbind(-1))  # B A 1 1
        dt = anchor.dt[:, None, None, None]
        dx, dy = moved.unbind(-1)
        cos, sin = heading.cos(), heading.sin()
        # Steps in the world, the last velocity's share first.
        ex, ey = vx * dt + dx * cos - dy * sin, vy * dt + dx * sin + dy * cos
        ux, uy = ex / dt, ey / dt
        fast = (ux.square() + uy.square()).detach() >= max(self.still_speed, 1e-6) ** 2
        # atan2 has no gradient at 0; where it is not used it is asked about (1, 0).
        turned = torch.atan2(torch.where(fast, uy, 0), torch.where(fast, ux, 1))
        return torch.stack([x + ex.cumsum(-1), y + ey.cumsum(-1), torch.where(fast, turned, heading.expand_as(turned)), ux, uy], dim=-1)

    def collect_statistics(self, batch: Batch) -> None:
        now = self.context - 1
        motion = batch[STATE][..., self.motion]
        heading, vx, vy = motion[:, now, :, 2:].unbind(-1)  # B A
        path = motion[:, now : now + self.horizon + 1, :, :2]
        there = batch[EXISTS][:, now:] & batch[EXISTS][:, now : now + 1]
        both = there[:, 1:] & there[:, :-1] & same_episode(batch["is_first"], now + 1)[..., None]
        gone = path[:, 1:] - path[:, :-1] - torch.stack([vx, vy], dim=-1)[:, None] * batch["dt"][:, None, None, None]
        cos, sin = heading.cos()[:, None], heading.sin()[:, None]
        own = torch.stack([gone[..., 0] * cos + gone[..., 1] * sin, gone[..., 1] * cos - gone[..., 0] * sin], dim=-1)
        self.unit.update(own[both])


def build(config: ModesDecoderConfig, specs: DecoderSpecs) -> ModesDecoder:
    """Build the head for the tokens of agents (and, on request, the features of their latents)."""
    inputs = cast(int, specs.embedding.agents) + (cast(int, specs.latent.agents) if config.reads == "both" else 0)
    obs_spec = specs.obs_spec
    return ModesDecoder(config=config, state=obs_spec.get(STATE), inputs=inputs, context=obs_spec.context, horizon=obs_spec.horizon)
