"""Kind `loss`: one or more scalar training terms."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from twm_core.config import ComponentConfig
from twm_core.errors import Mismatch
from twm_core.kinds.base import Kind
from twm_core.specs import LatentSpec, OutputSpec

Branch = Literal["reconstruction", "prediction", "rollout"]


class RolloutRequest(BaseModel):
    """An open-loop rollout that a loss wants the world model to make in training.

    It starts from the posterior at the last observed step of the window and runs to the end of the window.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(ge=1, description="Futures `S` to sample.")


class LossConfig(ComponentConfig):
    """Base of all loss configs."""

    weight: float = Field(1.0, ge=0, description="Factor on every term of this loss in the sum that is minimised.")

    def accepts(self, output: OutputSpec, latent: LatentSpec) -> Mismatch | None:
        """None where this loss can be computed from `output` and `latent`, else what it lacks."""
        raise NotImplementedError

    def branches(self) -> frozenset[Branch]:
        """The decoded branches that this loss reads; the world model computes no other."""
        return frozenset()

    def rollout(self) -> RolloutRequest | None:
        """The rollout that this loss needs, where `branches` names `rollout`."""
        return None


KIND = Kind(
    name="loss",
    summary="One or more scalar training terms, computed from latents, decoded distributions and the batch.",
    config=LossConfig,
    interface="twm_core.nn.interfaces:Loss",
    several=True,
)
