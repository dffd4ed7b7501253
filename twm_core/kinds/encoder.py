"""Kind `encoder`: turns what is seen at one step (or at it and a few before) into a scene token, agent tokens, or both."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind
from twm_core.specs import EmbeddingSpec, ObservationSpec


class EncoderConfig(ComponentConfig):
    """Base of all encoder configs."""

    def embedding(self, obs_spec: ObservationSpec) -> EmbeddingSpec:
        """Widths of the tokens that this encoder makes of `obs_spec`.

        Raises:
            Mismatch: A key or feature that it needs is not there.
        """
        raise NotImplementedError

    def memory(self) -> int:
        """Steps before its own that a token depends on; 0, which leaves all memory to the dynamics, unless a config says otherwise."""
        return 0

    def taken(self, obs_spec: ObservationSpec) -> frozenset[str]:
        """The keys of `obs_spec` that this encoder reads; empty where it does not say."""
        return frozenset()


KIND = Kind(
    name="encoder",
    summary="Turns what is seen at one step into a scene token, one token per agent, or both.",
    config=EncoderConfig,
    interface="twm_core.nn.interfaces:Encoder",
    several=True,
    specs="batches",
    gives="tokens of the scene, of its agents, or both, step by step",
)
