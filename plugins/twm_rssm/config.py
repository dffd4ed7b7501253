"""Config of `rssm-cat`: sizes of the recurrent state-space model and the layout of its latents. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twm_core import ActionSpec, DynamicsConfig, EmbeddingSpec, LatentSpec, Mismatch


class RSSMCatConfig(DynamicsConfig):
    """Sizes of `rssm-cat`. The defaults train on a laptop; DreamerV3's own sizes stand in the README."""

    layout: Literal["auto", "scene", "agents"] = Field(
        "auto", description="One latent for the scene, or one for each agent; auto takes agents when the encoder gives agent tokens."
    )
    deter: int = Field(128, ge=1, description="Width of the deterministic state; a multiple of blocks.")
    hidden: int = Field(64, ge=1, description="Width of the layers inside the cell, the prior and the posterior.")
    groups: int = Field(8, ge=1, description="Number of categorical variables.")
    classes: int = Field(8, ge=2, description="Classes of each categorical variable.")
    blocks: int = Field(8, ge=1, description="Independent blocks of the recurrent core.")
    unimix: float = Field(0.01, ge=0, lt=1, description="Share of the uniform distribution mixed into prior and posterior.")
    dynlayers: int = Field(1, ge=1, description="Block layers before the gates.")
    obslayers: int = Field(1, ge=1, description="Hidden layers of the posterior.")
    imglayers: int = Field(2, ge=1, description="Hidden layers of the prior.")
    eps: float = Field(1e-4, gt=0, description="Added to the mean square in the norms.")
    heads: int = Field(4, ge=0, description="Heads of the attention between agents (layout agents only); 0 turns interaction off.")

    @model_validator(mode="after")
    def _sizes_fit(self) -> RSSMCatConfig:
        if self.deter % self.blocks:
            raise ValueError(f"deter {self.deter} is not a multiple of blocks {self.blocks}")
        if self.heads and self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not a multiple of heads {self.heads}")
        return self

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """Features are the deterministic state followed by the flattened one-hot variables.

        Raises:
            Mismatch: The tokens for the chosen layout are missing, or a scene latent is given one action for each agent.
        """
        layout = self.layout if self.layout != "auto" else ("agents" if embedding.agents is not None else "scene")
        if layout == "agents" and embedding.agents is None:
            raise Mismatch(needs="agent tokens for layout 'agents'", got=embedding, remedy="set layout to 'scene' or 'auto'")
        if layout == "scene" and embedding.scene is None:
            remedy = "set layout to 'agents' or 'auto'" if embedding.agents is not None else "choose an encoder that gives tokens"
            raise Mismatch(needs="a scene token for layout 'scene'", got=embedding, remedy=remedy)
        if layout == "scene" and action is not None and action.layout == "agents":
            remedy = "set layout to 'agents'" if embedding.agents is not None else "choose an encoder with agent tokens and layout 'agents'"
            raise Mismatch(needs="one action for the scene (layout 'scene')", got="one action for each agent", remedy=remedy)
        return LatentSpec(
            layout=layout,
            width=self.deter + self.groups * self.classes,
            family="categorical",
            deter=self.deter,
            groups=self.groups,
            classes=self.classes,
        )
