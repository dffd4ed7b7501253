"""Configs of `rssm-cat` and `rssm-gauss`: the core, its sizes and norms, the layout and the family of the latents. Torch-free."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from twm_core import ActionSpec, EmbeddingSpec, LatentSpec, Mismatch
from twm_core.kinds.dynamics import ActedDynamicsConfig, choose_layout


class RSSMConfig(ActedDynamicsConfig):
    """What both families share. The defaults train on a laptop; DreamerV3's own sizes stand in the README."""

    layout: Literal["auto", "scene", "agents"] = Field(
        "auto", description="One latent for the scene, or one for each agent; auto takes agents when the encoder gives agent tokens."
    )
    core: Literal["block-gru", "gru"] = Field(
        "block-gru", description="Recurrent core: DreamerV3's block-diagonal GRU, or the dense GRU of its first release."
    )
    deter: int = Field(128, ge=1, description="Width of the deterministic state; with core block-gru a multiple of blocks.")
    hidden: int = Field(64, ge=1, description="Width of the layers inside the cell, the prior and the posterior.")
    blocks: int = Field(8, ge=1, description="Independent blocks of the core block-gru.")
    dynlayers: int = Field(1, ge=1, description="Layers of the core before its gates.")
    obslayers: int = Field(1, ge=1, description="Hidden layers of the posterior.")
    imglayers: int = Field(2, ge=1, description="Hidden layers of the prior.")
    norm: Literal["rms", "layer"] = Field("rms", description="Norm after each layer: RMS norm, or the layer norm of the first release.")
    eps: float = Field(1e-4, gt=0, description="Added to the mean square (rms) or the variance (layer) in the norms.")
    initial: Literal["zero", "learned"] = Field(
        "zero", description="State before anything was seen: zeros, or a learned deter with the mode of its prior."
    )
    heads: int = Field(4, ge=0, description="Heads of the attention between agents (layout agents only); 0 turns interaction off.")

    geometry: bool = Field(
        False,
        description="Let agents attend by where they are: relative poses at the step before, as they were seen, and in imagination as the "
        "decoder integrates them (needs heads, layout agents and a decoder of agents).",
    )

    correction: bool = Field(
        False,
        description="Let what is seen correct the deterministic state too, not only through the stochastic one: imagination then starts "
        "from all that was observed, and latents carry only what is new.",
    )
    draws: Literal["independent", "stratified"] = Field(
        "independent",
        description="How the first imagined latents of several futures are drawn: independently, or one from each of as many equally "
        "probable strata (each future by itself is distributed as before; together they cover more).",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.core == "block-gru" and self.deter % self.blocks:
            raise ValueError(f"deter {self.deter} is not a multiple of blocks {self.blocks}")
        if self.heads and self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is not a multiple of heads {self.heads}")
        if self.geometry and not self.heads:
            raise ValueError("geometry needs heads: without attention nobody looks at anybody")
        return self

    def check_layout(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> Literal["scene", "agents"]:
        """The layout for these tokens and actions.

        Raises:
            Mismatch: The tokens for the chosen layout are missing, or a scene latent is given one action for each agent, or `actions` says
                otherwise than the dataset, or `geometry` is asked for where agents have no latents.
        """
        self.check_actions(action)
        layout = choose_layout(self.layout, embedding, action)[0]
        if self.geometry and layout != "agents":
            remedy = "set dynamics.geometry to false, or dynamics.layout to 'agents' with an encoder of agents"
            raise Mismatch(needs="a latent for each agent, since geometry is on", got=embedding, remedy=remedy)
        return layout


class RSSMCatConfig(RSSMConfig):
    """Sizes of `rssm-cat`."""

    groups: int = Field(8, ge=1, description="Number of categorical variables.")
    classes: int = Field(8, ge=2, description="Classes of each categorical variable.")
    unimix: float = Field(0.01, ge=0, lt=1, description="Share of the uniform distribution mixed into prior and posterior.")
    unimix_stored: bool = Field(
        False, description="Store the logits of the mixture, as the first release did, instead of raw ones that are mixed when read."
    )

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """Features are the deterministic state followed by the flattened one-hot variables.

        Raises:
            Mismatch: As `check_layout`.
        """
        return LatentSpec(
            layout=self.check_layout(embedding, action),
            geometric=self.geometry,
            width=self.deter + self.groups * self.classes,
            family="categorical",
            deter=self.deter,
            groups=self.groups,
            classes=self.classes,
        )


class RSSMGaussConfig(RSSMConfig):
    """Sizes of `rssm-gauss`."""

    stoch: int = Field(32, ge=1, description="Number of Gaussian variables.")
    std: Literal["sigmoid2", "softplus"] = Field(
        "sigmoid2", description="Standard deviation from its raw value s: 2 sigmoid(s / 2), as the first release, or softplus(s)."
    )
    min_std: float = Field(0.1, gt=0, description="Added to the standard deviation.")

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """Features are the deterministic state followed by the Gaussian variables.

        Raises:
            Mismatch: As `check_layout`.
        """
        return LatentSpec(
            layout=self.check_layout(embedding, action),
            geometric=self.geometry,
            width=self.deter + self.stoch,
            family="gaussian",
            deter=self.deter,
            groups=self.stoch,
        )
