"""Kind `decoder`: turns latent features into distributions over what is expected."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind
from twm_core.specs import EmbeddingSpec, LatentSpec, ObservationSpec, OutputSpec


class DecoderConfig(ComponentConfig):
    """Base of all decoder configs."""

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        """The keys and distributions that this decoder returns.

        Raises:
            Mismatch: The latent's layout does not suit, or a key to decode is not observed.
        """
        raise NotImplementedError

    def takes(self, embedding: EmbeddingSpec) -> None:
        """Refuse tokens that do not suit, for decoders that decode the future ahead and read tokens; others take any.

        Raises:
            Mismatch: The tokens that it reads are not there.
        """


KIND = Kind(
    name="decoder",
    summary="Turns latent features into distributions over what is expected: states, existence, pixels, rewards.",
    config=DecoderConfig,
    interface="twm_core.nn.interfaces:Decoder",
    several=True,
    specs="features of latent states",
    gives="distributions over states and existence, images, vectors, rewards",
)
