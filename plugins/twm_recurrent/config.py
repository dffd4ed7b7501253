"""Config of the dynamics `gru`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core import ActionSpec, DynamicsConfig, EmbeddingSpec, LatentSpec, Mismatch


class GRUConfig(DynamicsConfig):
    """Sizes of the GRU and the layout of its latents; the latent is as wide as the embedding."""

    layout: Literal["auto", "scene", "agents"] = Field(
        "auto", description="One latent for the scene, or one for each agent; auto takes agents when the encoder gives agent tokens."
    )
    hidden: int = Field(256, ge=1, description="Width of the hidden state.")
    n_layers: int = Field(1, ge=1, description="Stacked GRU layers.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of activations dropped between layers, in training.")

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """The latent that decoders read is the embedding (posterior) or its prediction (prior).

        Raises:
            Mismatch: The tokens for the chosen layout are missing, or a scene latent is given one action for each agent.
        """
        layout = self.layout if self.layout != "auto" else ("agents" if embedding.agents is not None else "scene")
        width = embedding.agents if layout == "agents" else embedding.scene
        if width is None:
            other = "scene" if layout == "agents" else "agents"
            has_other = embedding.scene is not None or embedding.agents is not None
            remedy = f"set layout to {other!r} or 'auto'" if has_other else "choose an encoder that gives tokens"
            needs = "agent tokens for layout 'agents'" if layout == "agents" else "a scene token for layout 'scene'"
            raise Mismatch(needs=needs, got=embedding, remedy=remedy)
        if layout == "scene" and action is not None and action.layout == "agents":
            remedy = "set layout to 'agents'" if embedding.agents is not None else "choose an encoder with agent tokens and layout 'agents'"
            raise Mismatch(needs="one action for the scene (layout 'scene')", got="one action for each agent", remedy=remedy)
        return LatentSpec(layout=layout, width=width, deter=width)
