"""Configs of the recurrent dynamics `gru`, `lstm` and `stochastic-gru`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core import ActionSpec, EmbeddingSpec, LatentSpec
from twm_core.kinds.dynamics import ActedDynamicsConfig, choose_layout


class RecurrentConfig(ActedDynamicsConfig):
    """What the deterministic ones share: sizes, and the layout of their latents; the latent is as wide as the embedding."""

    layout: Literal["auto", "scene", "agents"] = Field(
        "auto", description="One latent for the scene, or one for each agent; auto takes agents when the encoder gives agent tokens."
    )
    hidden: int = Field(256, ge=1, description="Width of the hidden state.")
    n_layers: int = Field(1, ge=1, description="Stacked layers.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of activations dropped between layers, in training.")

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


class GRUConfig(RecurrentConfig):
    """Sizes of the GRU."""


class LSTMConfig(RecurrentConfig):
    """Sizes of the LSTM."""


class StochasticGRUConfig(ActedDynamicsConfig):
    """Sizes of the stochastic GRU; the latent is [deter, stoch]."""

    layout: Literal["auto", "scene", "agents"] = Field(
        "auto", description="One latent for the scene, or one for each agent; auto takes agents when the encoder gives agent tokens."
    )
    deter: int = Field(256, ge=1, description="Width of the deterministic state, the GRU's hidden state.")
    stoch: int = Field(32, ge=1, description="Number of Gaussian variables.")
    max_logvar: float = Field(8.0, gt=0, description="Log-variances are bounded smoothly to between minus and plus this.")

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """Features are the deterministic state followed by the sample.

        Raises:
            Mismatch: The tokens for the chosen layout are missing, or a scene latent is given one action for each agent, or `actions` says
                otherwise than the dataset.
        """
        self.check_actions(action)
        layout, _ = choose_layout(self.layout, embedding, action)
        return LatentSpec(layout=layout, width=self.deter + self.stoch, family="gaussian", deter=self.deter, groups=self.stoch)
