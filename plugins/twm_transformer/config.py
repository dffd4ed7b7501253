"""Config of the dynamics `transformer`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twm_core import ActionSpec, EmbeddingSpec, LatentSpec
from twm_core.kinds.dynamics import ActedDynamicsConfig, choose_layout


class TransformerConfig(ActedDynamicsConfig):
    """Sizes of the Transformer and the layout of its latents; the latent is as wide as the embedding."""

    layout: Literal["auto", "scene", "agents"] = Field(
        "auto", description="One latent for the scene, or one for each agent; auto takes agents when the encoder gives agent tokens."
    )
    width: int = Field(128, ge=2, description="Width of the Transformer; a multiple of heads.")
    n_layers: int = Field(2, ge=1, description="Layers.")
    heads: int = Field(4, ge=1, description="Attention heads.")
    feedforward: int = Field(4, ge=1, description="Width of the feed-forward layers, as a multiple of width.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of each layer's additions to the residual stream dropped, in training.")
    window: int = Field(32, ge=2, le=512, description="Steps that each attention layer sees, the present one included.")
    positions: Literal["sinusoidal", "learned"] = Field(
        "sinusoidal", description="How a step is told its number since the start; learned ones know nothing of steps never trained."
    )
    max_steps: int = Field(512, ge=2, le=512, description="Number of learned positions; later steps use them again from the first on.")

    @model_validator(mode="after")
    def _sizes_fit(self) -> TransformerConfig:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.positions == "sinusoidal" and self.width % 2:
            raise ValueError(f"width {self.width} is odd, and sinusoidal positions come in pairs")
        if self.positions == "learned" and self.window > self.max_steps:
            raise ValueError(f"window {self.window} is larger than max_steps {self.max_steps}, so that two steps would share a position")
        return self

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """The latent that decoders read is the embedding (posterior) or its prediction (prior).

        Raises:
            Mismatch: The tokens for the chosen layout are missing, or a scene latent is given one action for each agent, or `actions` says
                otherwise than the dataset.
        """
        self.check_actions(action)
        layout, width = choose_layout(self.layout, embedding, action)
        return LatentSpec(layout=layout, width=width, deter=width)

    def reads(self, latent: LatentSpec) -> frozenset[str]:
        """The tokens of the latent's own layout only: the latent is the embedding, so that there is no place for others."""
        return frozenset({latent.layout})
