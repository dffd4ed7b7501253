"""Configs of the encoder `multimodal` and the decoder `image`. Torch-free."""

from __future__ import annotations

from math import gcd
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from twm_core import DecoderConfig, EmbeddingSpec, EncoderConfig, KeySpec, LatentSpec, Mismatch, ObservationSpec, OutputKey, OutputSpec
from twm_core.selection import KeyPattern
from twm_multimodal.keys import IMAGES, VECTORS, check_vectors, choose, images, one_size, vectors


def _is_odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError(f"kernel {kernel} is even; only odd kernels keep the size of an image")
    return kernel


Kernel = Annotated[int, AfterValidator(_is_odd)]
"""Side of a kernel."""

_ENCODER, _DECODER = "encoder.multimodal.", "decoder.image."


def halvings(height: int, width: int, minres: int, *, option: str) -> int:
    """How often an image is halved until its height is `minres`.

    Raises:
        Mismatch: Halving does not lead there, or the width cannot be halved as often.
    """
    count = (height // minres).bit_length() - 1
    if count < 1 or minres << count != height or width % (1 << count):
        sizes = [
            n for n in range(1, min(height, 65)) if (h := (height // n).bit_length() - 1) and n << h == height and not width % (1 << h)
        ]
        remedy = f"set {option} to {max((n for n in sizes if n <= 8), default=sizes[0])}" if sizes else "choose images of an even size"
        raise Mismatch(needs=f"images whose height is {minres} times a power of two", got=f"images of {height} x {width}", remedy=remedy)
    return count


def check_divisible(height: int, width: int, stages: int, *, option: str) -> None:
    """Refuse images that `stages` halvings do not divide.

    Raises:
        Mismatch: They do not.
    """
    if height % (1 << stages) or width % (1 << stages):
        common = gcd(height, width)
        fit = (common & -common).bit_length() - 1
        remedy = f"set {option} to {list((2, 3, 4, 4)[:fit])}" if 0 < fit <= 4 else "choose images of an even size"
        needs = f"images whose sides are multiples of {1 << stages} ({stages} stages halve them)"
        raise Mismatch(needs=needs, got=f"images of {height} x {width}", remedy=remedy)


class MultimodalConfig(EncoderConfig):
    """Sizes and options of the encoder of images and vectors."""

    image_keys: KeyPattern = Field(IMAGES, description="Regular expression of the images to encode; '$^' takes none.")
    vector_keys: KeyPattern = Field(VECTORS, description="Regular expression of the vectors and labels to encode; '$^' takes none.")
    cnn: Literal["plain", "resnet"] = Field("plain", description="Convolutions with max pooling, or strided ones with residual blocks.")
    depth: int = Field(16, ge=1, description="Channels of the convolutions, times a factor for each stage.")
    mults: tuple[int, ...] = Field((2, 3, 4, 4), min_length=1, description="Factors on depth of the stages of the plain CNN.")
    kernel: Kernel = Field(5, ge=1, description="Side of the kernels of the plain CNN, odd.")
    blocks: int = Field(1, ge=0, description="Residual blocks in each stage of the residual CNN.")
    minres: int = Field(4, ge=1, description="Height at which the residual CNN stops halving.")
    layers: int = Field(3, ge=1, description="Layers of the MLP for vectors.")
    units: int = Field(256, ge=1, description="Width of the MLP for vectors.")
    symlog: bool = Field(True, description="Squash vectors by sign(x) log(1 + |x|).")
    norm: Literal["rms", "layer"] = Field("rms", description="Norm after every layer; layer norm takes the place of the biases.")
    eps: float = Field(1e-4, gt=0, description="Added to the mean square in the norms.")

    def images(self, obs_spec: ObservationSpec) -> list[KeySpec]:
        """The images that are encoded, in the order in which their channels are joined.

        Raises:
            Mismatch: The pattern was set and matches nothing.
        """
        return choose(self.image_keys, images(obs_spec), default=IMAGES, what="images", option=f"{_ENCODER}image_keys")

    def vectors(self, obs_spec: ObservationSpec) -> list[KeySpec]:
        """The vectors and labels that are encoded, in the order in which they are joined.

        Raises:
            Mismatch: The pattern was set and matches nothing, or a key of that name holds neither vectors nor labels.
        """
        check_vectors(self.vector_keys, (k for k in obs_spec.keys if k.role == "input"), option=f"{_ENCODER}vector_keys")
        return choose(self.vector_keys, vectors(obs_spec), default=VECTORS, what="vectors", option=f"{_ENCODER}vector_keys")

    def taken(self, obs_spec: ObservationSpec) -> frozenset[str]:
        """The images, vectors and labels that match.

        Raises:
            Mismatch: A pattern was set and matches nothing.
        """
        return frozenset(k.key for k in (*self.images(obs_spec), *self.vectors(obs_spec)))

    def channels(self, height: int, width: int) -> tuple[int, ...]:
        """Channels after every stage of the CNN for images of this size.

        Raises:
            Mismatch: The size cannot be halved by every stage.
        """
        if self.cnn == "plain":
            check_divisible(height, width, len(self.mults), option=f"{_ENCODER}mults")
            return tuple(self.depth * m for m in self.mults)
        count = halvings(height, width, self.minres, option=f"{_ENCODER}minres")
        return tuple(self.depth << i for i in range(count))

    def embedding(self, obs_spec: ObservationSpec) -> EmbeddingSpec:
        """One scene token: the vectors' part, if there are any, then the images' part.

        Raises:
            Mismatch: No key matches, images differ in size, or their size cannot be halved by every stage.
        """
        pictures, others = self.images(obs_spec), self.vectors(obs_spec)
        if not pictures and not others:
            raise Mismatch(
                needs=f"images (uint8 [B,T,C,H,W]) that match {self.image_keys!r} or vectors that match {self.vector_keys!r}",
                got=obs_spec.describe(),
                remedy="choose a dataset with images or vectors, such as --dataset shapes",
            )
        token = self.units if others else 0
        if pictures:
            _, height, width = one_size(pictures, option=f"{_ENCODER}image_keys")
            channels = self.channels(height, width)
            token += (height >> len(channels)) * (width >> len(channels)) * channels[-1]
        return EmbeddingSpec(scene=token)


class ImageConfig(DecoderConfig):
    """Sizes and options of the decoder of images."""

    image_keys: KeyPattern = Field(IMAGES, description="Regular expression of the images to decode.")
    upsampling: Literal["block-spatial", "transposed"] = Field(
        "block-spatial", description="Nearest neighbours and convolutions after a block layer (DreamerV3), or transposed convolutions."
    )
    depth: int = Field(16, ge=1, description="Channels of the convolutions, times a factor for each stage.")
    mults: tuple[int, ...] = Field((2, 3, 4, 4), min_length=1, description="Factors on depth of the block-spatial stages, last one first.")
    kernel: Kernel = Field(5, ge=1, description="Side of the kernels of the block-spatial form, odd.")
    blocks: int = Field(8, ge=1, description="Blocks of the layer that spreads the deterministic state (block-spatial).")
    units: int = Field(256, ge=1, description="Half the width of the layer that reads the stochastic state (block-spatial).")
    residual: int = Field(1, ge=0, description="Residual blocks in each stage of the transposed form.")
    minres: int = Field(4, ge=1, description="Height at which the transposed form starts.")
    squash: Literal["sigmoid", "shift"] = Field("sigmoid", description="Last step: the sigmoid, or adding one half.")
    distribution: Literal["mse", "normal"] = Field("mse", description="Squared error without a factor, or a Gaussian of fixed std.")
    std: float = Field(1.0, gt=0, description="Standard deviation of every pixel (in 0..1) where distribution is normal.")
    norm: Literal["rms", "layer"] = Field("rms", description="Norm after every layer; layer norm takes the place of the biases.")
    eps: float = Field(1e-4, gt=0, description="Added to the mean square in the norms.")

    def images(self, obs_spec: ObservationSpec) -> list[KeySpec]:
        """The images that are decoded, in the order in which their channels are split.

        Raises:
            Mismatch: There is none.
        """
        found = choose(self.image_keys, images(obs_spec), default=IMAGES, what="images", option=f"{_DECODER}image_keys")
        if not found:
            raise Mismatch(
                needs="images (uint8 [B,T,C,H,W])", got=obs_spec.describe(), remedy="choose a dataset with images, such as --dataset shapes"
            )
        return found

    def channels(self, height: int, width: int) -> tuple[int, ...]:
        """Channels before every doubling, from the smallest map to the largest.

        Raises:
            Mismatch: The size cannot be reached by doubling.
        """
        if self.upsampling == "block-spatial":
            check_divisible(height, width, len(self.mults), option=f"{_DECODER}mults")
            return tuple(self.depth * m for m in reversed(self.mults))
        count = halvings(height, width, self.minres, option=f"{_DECODER}minres")
        return tuple(self.depth << i for i in reversed(range(count)))

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        """Every image that matches. Reads the scene's features.

        Raises:
            Mismatch: No scene features, no image, images of different or unsuitable sizes, or (block-spatial) no deterministic part, or
                one that the blocks do not divide.
        """
        if latent.scene is None:
            raise Mismatch(needs="features of the scene", got=latent, remedy="set dynamics.layout to 'scene'")
        chosen = self.images(obs_spec)
        _, height, width = one_size(chosen, option=f"{_DECODER}image_keys")
        channels = self.channels(height, width)
        if self.upsampling == "block-spatial":
            self._check_blocks(latent, latent.scene, channels[0])
        return OutputSpec(keys=tuple(OutputKey(key=k.key, distribution=f"image-{self.distribution}") for k in chosen))

    def _check_blocks(self, latent: LatentSpec, scene: int, channels: int) -> None:
        if latent.deter is None or not 0 < latent.deter < scene:
            raise Mismatch(
                needs="a latent with a deterministic and a stochastic part", got=latent, remedy=f"set {_DECODER}upsampling to 'transposed'"
            )
        if latent.deter % self.blocks or channels % self.blocks:
            raise Mismatch(
                needs=f"a deterministic part and channels that {self.blocks} blocks divide",
                got=f"a deterministic part of {latent.deter} and {channels} channels",
                remedy=f"set {_DECODER}blocks to {gcd(self.blocks, latent.deter, channels)}",
            )
