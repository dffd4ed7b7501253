"""Config of the encoder `multiagent`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twm_core import EmbeddingSpec, EncoderConfig, Mismatch, ObservationSpec


class MultiAgentConfig(EncoderConfig):
    """Sizes and options of the multi-agent encoder."""

    width: int = Field(64, ge=8, description="Width of the agent tokens and of the scene token.")
    hidden: int = Field(0, ge=0, description="Width inside, up to and with the Transformer layers; 0 (default) takes width.")
    layers: int = Field(1, ge=0, description="Transformer layers over agents.")
    heads: int = Field(4, ge=1, description="Attention heads; must divide width and hidden.")
    frame: Literal["agent", "scene", "world"] = Field(
        "agent",
        description="Frame of an agent's own motion: its own (carries over to other places), the scene's (mean pose of all agents), or the "
        "world's coordinates as they are.",
    )
    history: int = Field(
        1,
        ge=1,
        description="Steps of an agent's own path that its token knows, the present one among them; 1 leaves all memory to the dynamics.",
    )
    neighbours: int = Field(8, ge=0, description="Nearest neighbours whose relative pose an agent sees; 0 sees none.")
    pair_width: int = Field(32, ge=8, description="Width of the neighbour embedding.")
    pooling: Literal["mean", "attention", "none"] = Field("attention", description="How agent tokens become the scene token.")
    pooled: Literal["tokens", "hidden"] = Field(
        "tokens", description="What is pooled: the finished agent tokens, or what leaves the Transformer layers."
    )
    agent_tokens: bool = Field(True, description="Give agent tokens; without them the scene token is all there is.")
    embeddings: Literal["sum", "concat"] = Field("concat", description="How type, lane and site embeddings join the motion features.")
    type_width: int = Field(8, ge=0, description="Width of the agent-type embedding; 0 leaves it out.")
    lane_width: int = Field(8, ge=0, description="Width of the lane embedding; 0 leaves it out.")
    site_width: int = Field(0, ge=0, description="Width of the site embedding; 0 (default) leaves it out, for sites never seen before.")
    activation: Literal["silu", "relu", "gelu"] = Field("silu", description="Activation between the two input layers.")
    forward_activation: Literal["silu", "relu", "gelu"] = Field(
        "gelu", description="Activation inside the feed-forward part of the Transformer layers."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after the first input layer and in the Transformer layers.")

    noise: float = Field(
        0.0,
        ge=0,
        description="Noise on an agent's own features in training, in standard deviations of each: it blurs what identifies a place or a "
        "vehicle (absolute speed, size), while relations to neighbours stay exact.",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> MultiAgentConfig:
        for name in ("width", "hidden"):
            if getattr(self, name) % self.heads:
                raise ValueError(f"{name} {getattr(self, name)} is not a multiple of heads {self.heads}")
        if self.pooling == "none" and not self.agent_tokens:
            raise ValueError("pooling none without agent_tokens gives nothing")
        return self

    @property
    def inside(self) -> int:
        """Width up to and with the Transformer layers."""
        return self.hidden or self.width

    def embedding(self, obs_spec: ObservationSpec) -> EmbeddingSpec:
        """Agent tokens unless they are left out, and a scene token unless pooling is `none`.

        Needs `agents.state` with x, y, heading, vx, vy.
        """
        if not obs_spec.has("agents.state"):
            raise Mismatch(
                needs="key 'agents.state'", got=obs_spec.describe(), remedy="choose a dataset of traffic, such as --dataset highway"
            )
        state = obs_spec.get("agents.state")
        for name in ("x", "y", "heading", "vx", "vy"):
            state.index(name)
        return EmbeddingSpec(scene=None if self.pooling == "none" else self.width, agents=self.width if self.agent_tokens else None)

    def memory(self) -> int:
        """Steps before its own that a token depends on."""
        return self.history - 1

    def taken(self, obs_spec: ObservationSpec) -> frozenset[str]:
        """Motion and existence, and the tokens whose embedding has a width."""
        wanted = (("agents.type", self.type_width), ("agents.lane", self.lane_width), ("site", self.site_width))
        tokens = {key for key, width in wanted if width and obs_spec.has(key)}
        return frozenset({"agents.state", "agents.exists"} | tokens)
