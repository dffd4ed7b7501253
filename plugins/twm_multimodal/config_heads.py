"""Configs of the decoders `vector`, `reward` and `continue`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twm_core import DecoderConfig, KeySpec, LatentSpec, Mismatch, ObservationSpec, OutputKey, OutputSpec
from twm_core.selection import KeyPattern, chosen
from twm_multimodal.keys import VECTORS, check_vectors, is_label, vectors

REWARD, CONTINUE, TERMINAL = "reward", "continue", "is_terminal"


class SceneDecoderConfig(DecoderConfig):
    """What the decoders of vectors, rewards and ends have in common: an MLP on the features of the scene."""

    units: int = Field(256, ge=1, description="Width of the hidden layers.")
    layers: int = Field(1, ge=0, description="Hidden layers, each a linear layer, a norm and a SiLU.")
    norm: Literal["rms", "layer"] = Field("rms", description="Norm after every layer; layer norm takes the place of the biases.")
    eps: float = Field(1e-4, gt=0, description="Added to the mean square (rms) or the variance (layer) in the norms.")

    def need_scene(self, latent: LatentSpec) -> None:
        """Refuse latents without features of the scene.

        Raises:
            Mismatch: There is one latent for each agent only.
        """
        if latent.scene is None:
            raise Mismatch(needs="features of the scene", got=latent, remedy="set dynamics.layout to 'scene'")


class VectorConfig(SceneDecoderConfig):
    """Options of the decoder `vector`."""

    keys: KeyPattern = Field(VECTORS, description="Regular expression that chooses the vectors and labels to decode.")
    layers: int = Field(3, ge=0, description="Hidden layers, each a linear layer, a norm and a SiLU.")
    distribution: Literal["symlog-mse", "normal", "mse"] = Field(
        "symlog-mse",
        description="Of vectors: squared error in symlog space, a Gaussian with learned deviations, or plain squared error. "
        "Labels are always categorical.",
    )
    min_std: float = Field(0.01, gt=0, description="Least standard deviation of a Gaussian, relative to that of the training data.")
    max_std: float = Field(100.0, gt=0, description="Largest standard deviation of a Gaussian, relative to that of the training data.")

    @model_validator(mode="after")
    def _deviations_are_ordered(self) -> VectorConfig:
        if self.max_std <= self.min_std:
            raise ValueError(f"max_std {self.max_std} is not above min_std {self.min_std}")
        return self

    def decoded(self, obs_spec: ObservationSpec) -> tuple[KeySpec, ...]:
        """The keys to decode, sorted by name."""
        fit = {k.key: k for k in vectors(obs_spec)}
        return tuple(fit[name] for name in chosen(self.keys, fit))

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        """A distribution for every vector and label that `keys` chooses.

        Raises:
            Mismatch: There are no features of the scene, nothing is chosen, or what is chosen is no vector or label.
        """
        keys = self.decoded(obs_spec)
        check_vectors(self.keys, obs_spec.keys, option="decoder.vector.keys")
        if not keys:
            others = [k.key for k in vectors(obs_spec)]
            if others:
                raise Mismatch(
                    needs=f"vectors or labels that match {self.keys!r}",
                    got=f"the vectors and labels {', '.join(others)}",
                    remedy="set decoder.vector.keys to '.*'",
                )
            raise Mismatch(
                needs=f"vectors [B,T,D] or labels [B,T] that match {self.keys!r}",
                got=obs_spec.describe(),
                remedy="choose a dataset with vectors, such as --dataset shapes",
            )
        self.need_scene(latent)
        return OutputSpec(
            keys=tuple(
                OutputKey(
                    key=k.key,
                    distribution="classes" if is_label(k) else self.distribution,
                    features=tuple(f.name for f in k.features),
                )
                for k in keys
            )
        )


class RewardConfig(SceneDecoderConfig):
    """Options of the decoder `reward`."""

    distribution: Literal["symexp-twohot", "symlog-twohot", "mse"] = Field(
        "symexp-twohot",
        description="Two-hot over bins in real space, spaced by symexp (current DreamerV3); two-hot over bins in symlog space (its early "
        "release); or squared error.",
    )
    bins: int = Field(255, ge=3, description="Number of bins of the two-hot forms, odd.")

    @model_validator(mode="after")
    def _bins_have_a_middle(self) -> RewardConfig:
        if self.bins % 2 == 0:
            raise ValueError(f"bins {self.bins} is even, so that no bin stands at 0")
        return self

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        """The key `reward`.

        Raises:
            Mismatch: The batch holds no reward, or there are no features of the scene.
        """
        if not obs_spec.has(REWARD):
            raise Mismatch(
                needs=f"key {REWARD!r}", got=obs_spec.describe(), remedy="choose a dataset with rewards, such as --dataset shapes"
            )
        self.need_scene(latent)
        return OutputSpec(keys=(OutputKey(key=REWARD, distribution=self.distribution),))


class ContinueConfig(SceneDecoderConfig):
    """Options of the decoder `continue`."""

    horizon: float = Field(333.0, gt=1, description="Effective horizon in steps: the discount of each step is 1 - 1/horizon.")

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        """The key `continue`.

        Raises:
            Mismatch: The batch does not say where episodes end, or there are no features of the scene.
        """
        if not obs_spec.has(TERMINAL):
            raise Mismatch(
                needs=f"key {TERMINAL!r}", got=obs_spec.describe(), remedy="choose a dataset of episodes that end, such as --dataset shapes"
            )
        self.need_scene(latent)
        return OutputSpec(keys=(OutputKey(key=CONTINUE, distribution="continue"),))
