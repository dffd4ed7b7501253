"""Config of the encoder `roadmap`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twm_core import EmbeddingSpec, EncoderConfig, Mismatch, ObservationSpec

_NO_MAP = "set dataset.raster to true where the dataset has maps (highway, commonroad), or leave the encoder roadmap out"


class RoadMapConfig(EncoderConfig):
    """Sizes and options of the map encoder."""

    tokens: Literal["scene", "agents", "both"] = Field("both", description="Which tokens it gives: one for the scene, one for each agent.")
    frame: Literal["agent", "scene"] = Field(
        "agent", description="Frame of the agents' crops: turned with the agent's heading, or aligned with the raster."
    )
    crop: Literal["features", "pixels"] = Field(
        "features",
        description="What is cropped around an agent: features of the CNN over the whole raster (fast), or pixels, each crop with a CNN "
        "pass of its own (exact in the agent's frame, many times slower).",
    )
    crop_metres: float = Field(48.0, gt=0, description="Side of the square that an agent sees.")
    crop_pixels: int = Field(8, ge=2, description="Points along each side of an agent's crop; 8 suit features, 32 suit pixels.")
    ahead_metres: float = Field(12.0, description="How far the middle of an agent's crop lies in front of it; used with frame agent.")
    width: int = Field(64, ge=8, description="Width of the scene token and of the agent tokens.")
    channels: int = Field(16, ge=4, description="Channels of the first convolution; they double with each one, up to four times as many.")
    layers: int = Field(4, ge=1, description="Convolutions of stride 2 over the whole raster, for the scene token.")
    agent_layers: int = Field(2, ge=1, description="Those whose features agents see, or those of an agent's own pass over pixels.")
    pool: int = Field(4, ge=1, description="The scene token is read off means over pool by pool cells of the raster.")

    @model_validator(mode="after")
    def _layers_suffice(self) -> RoadMapConfig:
        if self.tokens == "both" and self.crop == "features" and self.agent_layers > self.layers:
            raise ValueError(f"agent_layers {self.agent_layers} is more than layers {self.layers}")
        if self.crop == "pixels" and self.crop_pixels % 2**self.agent_layers:
            raise ValueError(f"crop_pixels {self.crop_pixels} is not a multiple of {2**self.agent_layers}, 2 to the power of agent_layers")
        return self

    @property
    def depth(self) -> int:
        """Convolutions over the whole raster: the scene token's, else those whose features agents see."""
        if self.tokens != "agents":
            return self.layers
        return self.agent_layers if self.crop == "features" else 0

    def embedding(self, obs_spec: ObservationSpec) -> EmbeddingSpec:
        """The tokens that were asked for, all of one width. Needs `map.raster`; for agent tokens `map.pose` and `agents.state` too."""
        if not obs_spec.has("map.raster"):
            raise Mismatch(needs="key 'map.raster'", got=obs_spec.describe(), remedy=_NO_MAP)
        height, width = obs_spec.get("map.raster").shape[1:]
        unit = 2**self.depth
        if height % unit or width % unit:
            raise Mismatch(
                needs=f"a map raster whose sides are multiples of {unit} pixels (each convolution halves them)",
                got=f"{height} x {width}",
                remedy=f"set dataset.raster_size to {unit * max(1, round(height / unit))}, or encoder.roadmap.layers lower",
            )
        if self.tokens == "scene":
            obs_spec.get("is_first")
            return EmbeddingSpec(scene=self.width)
        if not obs_spec.has("agents.state") or not obs_spec.has("map.pose"):
            remedy = "set encoder.roadmap.tokens to scene"
            raise Mismatch(needs="keys 'agents.state' and 'map.pose' for agent tokens", got=obs_spec.describe(), remedy=remedy)
        for name in ("x", "y", "heading"):
            obs_spec.get("agents.state").index(name)
        for name in ("x", "y", "heading", "metres_per_pixel"):
            obs_spec.get("map.pose").index(name)
        return EmbeddingSpec(scene=self.width if self.tokens == "both" else None, agents=self.width)

    def taken(self, obs_spec: ObservationSpec) -> frozenset[str]:
        """The raster, and for agent tokens its pose and the agents'."""
        agents = () if self.tokens == "scene" else ("map.pose", "agents.state", "agents.exists")
        return frozenset({"map.raster", "is_first", *agents})
