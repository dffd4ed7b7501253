"""Kind `loss`: one or more scalar training terms."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from twm_core.config import ComponentConfig
from twm_core.errors import Mismatch
from twm_core.kinds.base import Kind
from twm_core.specs import LatentSpec, ObservationSpec, OutputSpec

Branch = Literal["reconstruction", "prediction", "rollout", "ahead"]


class RolloutRequest(BaseModel):
    """An open-loop rollout that a loss wants the world model to make in training.

    It starts from the posterior at the last observed step of the window and runs to the end of the window.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    samples: int = Field(ge=1, description="Futures `S` to sample.")
    steps: int | None = Field(None, ge=1, description="Steps `H` to roll; None rolls to the end of the window.")
    grow: int = Field(0, ge=0, description="Optimizer steps over which `H` grows from 1 to its full length (a curriculum); 0 is at once.")

    def length(self, horizon: int, step: int | None) -> int:
        """`H` at an optimizer step, for windows with `horizon` predicted steps; the full length where `step` is None (validation)."""
        full = horizon if self.steps is None else min(self.steps, horizon)
        if step is None or step >= self.grow:
            return full
        return max(1, round(full * (step + 1) / self.grow))


class LossConfig(ComponentConfig):
    """Base of all loss configs."""

    weight: float = Field(1.0, ge=0, description="Factor on every term of this loss in the sum that is minimised.")
    weight_start: float | None = Field(None, ge=0, description="Weight before the ramp; None: there is none, the weight is constant.")
    ramp_from: int = Field(0, ge=0, description="Optimizer step at which the ramp from weight_start to weight begins.")
    ramp_steps: int = Field(0, ge=0, description="Optimizer steps that the ramp takes; 0 switches at once.")
    period: int = Field(
        1, ge=1, description="Compute this loss at every n-th optimizer step only, to save time; its weight stays as it is."
    )

    def active_at(self, step: int | None) -> bool:
        """Whether this loss is computed at an optimizer step, counted from 0; always where `step` is None (validation)."""
        return step is None or step % self.period == 0

    def weight_at(self, step: int | None) -> float:
        """The weight at an optimizer step, counted from 0; the final one where `step` is None (validation)."""
        if self.weight_start is None or step is None or step >= self.ramp_from + self.ramp_steps:
            return self.weight
        share = max(0, step - self.ramp_from) / max(1, self.ramp_steps)
        return self.weight_start + share * (self.weight - self.weight_start)

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """None where this loss can be computed, else what it lacks.

        Args:
            output: What the decoders return.
            latent: What the dynamics carry.
            obs_spec: What batches hold, for losses that compare with keys of the batch.
        """
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
    specs="decoded distributions, latents and the batch",
    gives="scalar terms",
)
