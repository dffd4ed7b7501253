"""Config of the encoder `multiagent`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twm_core import EmbeddingSpec, EncoderConfig, Mismatch, ObservationSpec


class MultiAgentConfig(EncoderConfig):
    """Sizes and options of the multi-agent encoder."""

    width: int = Field(64, ge=8, description="Width of the agent tokens and of the scene token.")
    layers: int = Field(1, ge=0, description="Transformer layers over agents.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide the width.")
    neighbours: int = Field(8, ge=0, description="Nearest neighbours whose relative pose an agent sees; 0 sees none.")
    pair_width: int = Field(32, ge=8, description="Width of the neighbour embedding.")
    pooling: Literal["mean", "attention", "none"] = Field("attention", description="How agent tokens become the scene token.")
    embeddings: Literal["sum", "concat"] = Field("concat", description="How type, lane and site embeddings join the motion features.")
    type_width: int = Field(8, ge=0, description="Width of the agent-type embedding; 0 leaves it out.")
    lane_width: int = Field(8, ge=0, description="Width of the lane embedding; 0 leaves it out.")
    site_width: int = Field(0, ge=0, description="Width of the site embedding; 0 (default) leaves it out, for sites never seen before.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout inside the Transformer layers.")

    noise: float = Field(
        0.0,
        ge=0,
        description="Noise on an agent's own features in training, in standard deviations of each: it blurs what identifies a place or a "
        "vehicle (absolute speed, size), while relations to neighbours stay exact.",
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> MultiAgentConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self

    def embedding(self, seen: ObservationSpec) -> EmbeddingSpec:
        """Agent tokens, and a scene token unless pooling is `none`. Needs `agents.state` with x, y, heading, vx, vy."""
        if not seen.has("agents.state"):
            raise Mismatch(needs="key 'agents.state'", got=seen.describe(), remedy="choose a dataset of traffic, such as --dataset highway")
        state = seen.get("agents.state")
        for name in ("x", "y", "heading", "vx", "vy"):
            state.index(name)
        return EmbeddingSpec(scene=None if self.pooling == "none" else self.width, agents=self.width)
