"""The map encoder: `map.raster [B,C,H,W]` to a scene token `[B,T,D]` and agent tokens `[B,T,A,D]`.

The raster has no time axis: its CNN runs once for a window. The scene token is read off means over a few cells of the last feature map and
is the same at every step. An agent token is read off a crop around the agent at that step: by default a small grid of points
in its own frame at which the CNN's features are interpolated (as RoIAlign does: He et al., "Mask R-CNN", 2017), else a crop of pixels
with convolutions of its own.

A channel of ones is added to the raster: beyond it the crop reads 0 there, so "no road" and "not known" differ.

What it does not do: look at other steps or at the relations between agents (the encoder `multiagent`), or draw the map (the dataset).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from twm_core.data.dataset import Batch
from twm_core.nn.interfaces import Embedding, Encoder
from twm_core.specs import EncoderSpecs, ObservationSpec
from twm_roadmap.config import RoadMapConfig
from twm_roadmap.crops import grid_points, sample_around
from twm_roadmap.network import channels_after, convolutions


def _with_ones(x: Tensor) -> Tensor:
    """`[N,C,H,W]` with a last channel of ones."""
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)


class AgentCrops(nn.Module):
    """Agent tokens `[B,T,A,D]` from crops of a raster or of its features; absent agents get zeros."""

    grid: Tensor

    def __init__(self, *, config: RoadMapConfig, obs_spec: ObservationSpec) -> None:
        super().__init__()
        self.state, self.pose = obs_spec.get("agents.state"), obs_spec.get("map.pose")
        raster = obs_spec.get("map.raster").shape
        self.size = (raster[1], raster[2])
        self.turned = config.frame == "agent"
        ahead = config.ahead_metres if self.turned else 0.0
        self.register_buffer("grid", grid_points(config.crop_pixels, config.crop_metres, ahead), persistent=False)
        channels, side = channels_after(config.channels, config.agent_layers), config.crop_pixels
        self.layers, self.narrow = nn.ModuleList(), None
        if config.crop == "pixels":
            self.layers = convolutions(raster[0] + 1, config.channels, config.agent_layers)
            side //= 2**config.agent_layers
        else:
            # Sampling costs most, and in proportion to the channels: a mixture of them is made where there is only one raster.
            self.narrow = nn.Conv2d(channels, config.channels, kernel_size=1)
            channels = config.channels + 1
        self.hidden = nn.Linear(channels * side**2, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.output = nn.Linear(config.width, config.width)

    def forward(self, raster: Tensor, batch: Batch) -> Tensor:
        """Tokens `[B,T,A,D]`, from a raster with its channel of ones (or features over it, without) `[B,C,h,w]`."""
        if self.narrow is not None:
            raster = _with_ones(self.narrow(raster))
        exists = batch["agents.exists"]
        agents = torch.where(exists[..., None], batch["agents.state"], 0)
        seen = sample_around(
            raster, self.size, batch["map.pose"], agents, self.grid, pose_spec=self.pose, state_spec=self.state, turned=self.turned
        )
        x = seen.flatten(0, 2)  # (B T A) C P P
        for layer in self.layers:
            x = layer(x)
        x = self.output(F.silu(self.norm(self.hidden(x.flatten(1)))))
        return x.view(*exists.shape, -1) * exists[..., None]


class SceneToken(nn.Module):
    """A scene token `[B,D]` from the last feature map `[B,C,h,w]`: means over cells, a linear layer, a norm."""

    def __init__(self, channels: int, pool: int, width: int) -> None:
        super().__init__()
        self.pool = pool
        self.output = nn.Linear(channels * pool**2, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """`[B,C,h,w]` to `[B,D]`."""
        return self.norm(self.output(F.adaptive_avg_pool2d(features, self.pool).flatten(1)))


class RoadMapEncoder(Encoder):
    """See the module. Masked agents change nothing; agent tokens are permutation-equivariant, the scene token knows no agents."""

    def __init__(self, *, config: RoadMapConfig, obs_spec: ObservationSpec) -> None:
        super().__init__()
        self.pixels, self.agent_layers = config.crop == "pixels", config.agent_layers
        self.layers = convolutions(obs_spec.get("map.raster").shape[0] + 1, config.channels, config.depth)
        last = channels_after(config.channels, config.layers)
        self.scene = None if config.tokens == "agents" else SceneToken(last, config.pool, config.width)
        self.agents = None if config.tokens == "scene" else AgentCrops(config=config, obs_spec=obs_spec)

    def forward(self, batch: Batch) -> Embedding:
        x = cropped = _with_ones(batch["map.raster"].float() / 255)
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if number == self.agent_layers and not self.pixels:
                cropped = x
        steps = batch["is_first"].shape[1]
        scene = None if self.scene is None else self.scene(x)[:, None].expand(-1, steps, -1)
        return Embedding(scene, None if self.agents is None else self.agents(cropped, batch))


def build(config: RoadMapConfig, specs: EncoderSpecs) -> RoadMapEncoder:
    """Build the encoder for the raster of `specs.obs_spec`."""
    return RoadMapEncoder(config=config, obs_spec=specs.obs_spec)
