"""Kind `dynamics`: carries the latent state through time, with observations (observe) and without (imagine)."""

from __future__ import annotations

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind
from twm_core.specs import ActionSpec, EmbeddingSpec, LatentSpec


class DynamicsConfig(ComponentConfig):
    """Base of all dynamics configs."""

    def latent(self, embedding: EmbeddingSpec, action: ActionSpec | None) -> LatentSpec:
        """The latent that these dynamics carry when fed with `embedding` and `action`.

        Raises:
            Mismatch: The embedding or the action does not suit.
        """
        raise NotImplementedError


KIND = Kind(
    name="dynamics",
    summary="Carries a latent state through time: observe corrects it with what is seen, imagine rolls it forward.",
    config=DynamicsConfig,
    interface="twm_core.nn.interfaces:Dynamics",
)
