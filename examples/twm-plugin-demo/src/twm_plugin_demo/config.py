"""Config of the dynamics `selective-ssm`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from twm_core import ActionSpec, EmbeddingSpec, LatentSpec
from twm_core.kinds.dynamics import ActedDynamicsConfig, choose_layout


class SelectiveSSMConfig(ActedDynamicsConfig):
    """Sizes of the network and the layout of its latents; a latent is as wide as the embedding.

    With `E = expand * width` channels a latent carries `n_layers * E * (states + conv - 1)` numbers.
    """

    layout: Literal["auto", "scene", "agents"] = Field(
        "auto", description="One latent for the scene, or one for each agent; auto takes agents when the encoder gives agent tokens."
    )
    width: int = Field(64, ge=1, description="Width of the residual stream between layers.")
    n_layers: int = Field(1, ge=1, description="Layers.")
    expand: int = Field(2, ge=1, description="Channels of each layer, as a multiple of width.")
    states: int = Field(8, ge=1, description="Exponential memories of each channel, each with a rate of its own.")
    conv: int = Field(4, ge=2, description="Steps that the causal convolution of each layer sees, the present one included.")
    step_min: float = Field(0.01, gt=0, description="Shortest step size that a channel starts training with.")
    step_max: float = Field(0.3, gt=0, description="Longest step size that a channel starts training with.")

    @model_validator(mode="after")
    def _range_is_one(self) -> SelectiveSSMConfig:
        if self.step_min > self.step_max:
            raise ValueError(f"step_min {self.step_min} is above step_max {self.step_max}")
        return self

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """Decoders read an embedding: the one that was seen (posterior) or the one that was predicted (prior).

        Raises:
            Mismatch: There are no tokens for the layout, a scene latent is given one action for each agent, or the dataset has actions
                where `actions` is `none`, or none where it is `required`.
        """
        self.check_actions(action)
        layout, width = choose_layout(self.layout, embedding, action)
        return LatentSpec(layout=layout, width=width, deter=width)

    def reads(self, latent: LatentSpec) -> frozenset[str]:
        """Only the tokens of the latent's layout, because these tokens are the latent."""
        return frozenset({latent.layout})
