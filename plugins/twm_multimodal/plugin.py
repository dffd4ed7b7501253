"""Declares the components of this plugin. Torch-free."""

from __future__ import annotations

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> list[Component]:
    """The components of this plugin."""
    return [
        Component(
            kind="encoder",
            name="multimodal",
            summary="Images through a CNN, vectors and labels through an MLP, side by side in one scene token.",
            config="twm_multimodal.config:MultimodalConfig",
            build="twm_multimodal.encoder:build",
        ),
        Component(
            kind="decoder",
            name="image",
            summary="Images by block-spatial upsampling or residual transposed convolutions; squared error or Gaussian.",
            config="twm_multimodal.config:ImageConfig",
            build="twm_multimodal.image_decoder:build",
        ),
        Component(
            kind="decoder",
            name="vector",
            summary="Vectors and labels by an MLP: squared error in symlog space, Gaussian or squared error; labels categorical.",
            config="twm_multimodal.config_heads:VectorConfig",
            build="twm_multimodal.vector:build",
        ),
        Component(
            kind="decoder",
            name="reward",
            summary="The reward of each step: two-hot over symexp or symlog bins, or squared error.",
            config="twm_multimodal.config_heads:RewardConfig",
            build="twm_multimodal.heads:build_reward",
        ),
        Component(
            kind="decoder",
            name="continue",
            summary="Whether the episode goes on, discounted.",
            config="twm_multimodal.config_heads:ContinueConfig",
            build="twm_multimodal.heads:build_continue",
        ),
    ]
