"""Decoder `image`: scene features `[...,D]` to distributions over images `[...,C,H,W]` in 0..1.

Several images of one size are decoded together, joined on channels, and split again. Two networks to choose from: `block_spatial` and the
transposed one of `resnet`.
"""

from __future__ import annotations

from torch import Tensor, nn

from twm_core.nn.distributions import Distribution
from twm_core.nn.interfaces import Anchor, Decoder, Features
from twm_core.specs import DecoderSpecs, KeySpec, LatentSpec
from twm_multimodal.block_spatial import BlockSpatialCNN
from twm_multimodal.config import ImageConfig
from twm_multimodal.pixels import ImageMSE, ImageNormal
from twm_multimodal.resnet import TransposedCNN


class Image(Decoder):
    """The decoder; it needs no anchor."""

    def __init__(self, *, config: ImageConfig, latent: LatentSpec, images: list[KeySpec]) -> None:
        super().__init__()
        self.config = config
        self.channels = {k.key: k.shape[0] for k in images}
        self.cnn = _cnn(config, latent, images)

    def forward(self, features: Features, anchor: Anchor | None) -> dict[str, Distribution]:
        scene = features.scene
        assert scene is not None
        raw = self.cnn(scene.flatten(0, -2))
        pictures = (raw.sigmoid() if self.config.squash == "sigmoid" else raw + 0.5).unflatten(0, scene.shape[:-1])
        parts = pictures.split(list(self.channels.values()), dim=-3)
        return {key: self._distribution(part) for key, part in zip(self.channels, parts, strict=True)}

    def _distribution(self, loc: Tensor) -> Distribution:
        return ImageMSE(loc) if self.config.distribution == "mse" else ImageNormal(loc, self.config.std)


def _cnn(config: ImageConfig, latent: LatentSpec, images: list[KeySpec]) -> nn.Module:
    outputs, (height, width) = sum(k.shape[0] for k in images), images[0].shape[1:]
    channels = config.channels(height, width)
    size = height >> len(channels), width >> len(channels)
    scene = latent.scene
    assert scene is not None
    if config.upsampling == "transposed":
        return TransposedCNN(
            inputs=scene, size=size, channels=channels, outputs=outputs, blocks=config.residual, norm=config.norm, eps=config.eps
        )
    assert latent.deter is not None
    return BlockSpatialCNN(
        deter=latent.deter,
        stoch=scene - latent.deter,
        size=size,
        channels=channels,
        outputs=outputs,
        kernel=config.kernel,
        blocks=config.blocks,
        units=config.units,
        norm=config.norm,
        eps=config.eps,
    )


def build(config: ImageConfig, specs: DecoderSpecs) -> Image:
    """Build the decoder for the images that its pattern chooses."""
    return Image(config=config, latent=specs.latent, images=config.images(specs.obs_spec))
