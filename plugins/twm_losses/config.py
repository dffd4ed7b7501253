"""Configs of the losses. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core import LatentSpec, LossConfig, Mismatch, ObservationSpec, OutputSpec
from twm_core.kinds.loss import Branch, RolloutRequest
from twm_losses.config_one_step import OneStepConfig
from twm_losses.needs import lacks_features, lacks_horizon, lacks_key, lacks_truth


class HuberConfig(OneStepConfig):
    """Huber loss on `agents.state`, in the decoder's own scale."""

    beta: float = Field(1.0, gt=0, description="Error (in the decoder's scale) at which the loss turns from square to linear.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoder of `agents.state`."""
        return lacks_key(output, "agents.state") or lacks_truth(obs_spec, "agents.state")


class ExistenceConfig(OneStepConfig):
    """Binary cross-entropy on `agents.exists`."""

    weight: float = Field(0.1, ge=0, description="Factor on every term of this loss in the sum that is minimised.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoder of `agents.exists`."""
        return lacks_key(output, "agents.exists") or lacks_truth(obs_spec, "agents.exists")


class KLConfig(LossConfig):
    """KL between posterior and prior: split as in DreamerV3, or balanced as in DreamerV2."""

    form: Literal["split", "balance"] = Field("split", description="Two terms, dyn and rep, or one weighted average of both.")
    dyn: float = Field(1.0, ge=0, description="Factor on KL(sg(posterior) || prior), which trains the prior (form split).")
    rep: float = Field(0.1, ge=0, description="Factor on KL(posterior || sg(prior)), which trains the posterior (form split).")
    alpha: float = Field(0.8, ge=0, le=1, description="Share of KL(sg(posterior) || prior) (form balance).")
    free_nats: float = Field(1.0, ge=0, description="Nats below which the KL is not pushed further.")
    free: Literal["sum", "mean"] = Field(
        "sum",
        description="What the free nats are a floor of: each latent's KL, summed over its variables, or the average over all latents.",
    )

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs stochastic latents."""
        if latent.family == "none":
            return Mismatch(needs="a stochastic latent (gaussian or categorical)", got=str(latent), remedy="choose --dynamics rssm-cat")
        return None


class RolloutConfig(LossConfig):
    """Huber loss on positions of open-loop rollouts, and latent overshooting."""

    samples: int = Field(2, ge=1, description="Futures sampled in training.")
    steps: int | None = Field(None, ge=1, description="Steps of the futures; None: to the end of the window.")
    grow: int = Field(0, ge=0, description="Optimizer steps over which the futures grow from 1 step to all (a curriculum); 0 is at once.")
    beta: float = Field(1.0, gt=0, description="Metres at which the loss turns from square to linear.")
    best: float = Field(1.0, ge=0, description="Factor on the best future of each agent.")
    mean: float = Field(0.3, ge=0, description="Factor on the average over all futures.")
    final: float = Field(0.0, ge=0, description="Factor on the cost at the last step, beside the average over the steps, in best and mean.")
    anneal: int = Field(
        0,
        ge=0,
        description="Optimizer steps over which the number of best futures that best averages falls from all to 1 (evolving winner takes "
        "all); 0 is at once.",
    )
    existence: float = Field(1.0, ge=0, description="Factor on the existence of agents in the futures, where it is decoded.")
    overshooting: float = Field(0.0, ge=0, description="Factor on imagined latents against later posteriors; 0 leaves it out.")
    free_nats: float = Field(1.0, ge=0, description="Nats for each latent below which overshooting is not pushed further.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoder of `agents.state`, and predicted steps."""
        return lacks_features(output, obs_spec, "x", "y") or lacks_horizon(
            obs_spec, "leave the loss rollout out, or choose a dataset whose windows have predicted steps"
        )

    def branches(self) -> frozenset[Branch]:
        """The rollout."""
        return frozenset({"rollout"})

    def rollout(self) -> RolloutRequest | None:
        """One with `samples` futures."""
        return RolloutRequest(samples=self.samples, steps=self.steps, grow=self.grow)
