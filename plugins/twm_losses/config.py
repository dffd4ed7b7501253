"""Configs of the losses. Torch-free."""

from __future__ import annotations

from pydantic import Field

from twm_core import LatentSpec, LossConfig, Mismatch, OutputSpec
from twm_core.kinds.loss import Branch, RolloutRequest


def _lacks_key(output: OutputSpec, key: str) -> Mismatch | None:
    if output.has(key):
        return None
    return Mismatch(needs=f"a decoder that returns {key!r}", got=str(output), remedy="add --decoder agents")


class HuberConfig(LossConfig):
    """Huber loss on `agents.state`, in the decoder's own scale."""

    beta: float = Field(1.0, gt=0, description="Error (in the decoder's scale) at which the loss turns from square to linear.")
    reconstruction: float = Field(1.0, ge=0, description="Factor on the reconstruction of the present step; 0 leaves it out.")
    prediction: float = Field(1.0, ge=0, description="Factor on the prediction one step ahead; 0 leaves it out.")

    def accepts(self, output: OutputSpec, latent: LatentSpec) -> Mismatch | None:
        """Needs a decoder of `agents.state`."""
        return _lacks_key(output, "agents.state")

    def branches(self) -> frozenset[Branch]:
        """Those with a factor above 0."""
        return frozenset(b for b, f in (("reconstruction", self.reconstruction), ("prediction", self.prediction)) if f > 0)


class ExistenceConfig(LossConfig):
    """Binary cross-entropy on `agents.exists`."""

    weight: float = Field(0.1, ge=0, description="Factor on every term of this loss in the sum that is minimised.")
    reconstruction: float = Field(1.0, ge=0, description="Factor on the reconstruction of the present step; 0 leaves it out.")
    prediction: float = Field(1.0, ge=0, description="Factor on the prediction one step ahead; 0 leaves it out.")

    def accepts(self, output: OutputSpec, latent: LatentSpec) -> Mismatch | None:
        """Needs a decoder of `agents.exists`."""
        return _lacks_key(output, "agents.exists")

    def branches(self) -> frozenset[Branch]:
        """Those with a factor above 0."""
        return frozenset(b for b, f in (("reconstruction", self.reconstruction), ("prediction", self.prediction)) if f > 0)


class KLConfig(LossConfig):
    """KL between posterior and prior, after DreamerV3."""

    dyn: float = Field(1.0, ge=0, description="Factor on KL(sg(posterior) || prior), which trains the prior.")
    rep: float = Field(0.1, ge=0, description="Factor on KL(posterior || sg(prior)), which trains the posterior.")
    free_nats: float = Field(1.0, ge=0, description="Nats for each latent state below which the KL is not pushed further.")

    def accepts(self, output: OutputSpec, latent: LatentSpec) -> Mismatch | None:
        """Needs stochastic latents."""
        if latent.family == "none":
            return Mismatch(needs="a stochastic latent (gaussian or categorical)", got=str(latent), remedy="choose --dynamics rssm-cat")
        return None


class RolloutConfig(LossConfig):
    """Huber loss on positions of open-loop rollouts to the end of the window."""

    samples: int = Field(2, ge=1, description="Futures sampled in training.")
    beta: float = Field(1.0, gt=0, description="Metres at which the loss turns from square to linear.")
    best: float = Field(1.0, ge=0, description="Factor on the best future of each agent.")
    mean: float = Field(0.3, ge=0, description="Factor on the average over all futures.")
    existence: float = Field(1.0, ge=0, description="Factor on the existence of agents in the futures, where it is decoded.")

    def accepts(self, output: OutputSpec, latent: LatentSpec) -> Mismatch | None:
        """Needs a decoder of `agents.state`."""
        return _lacks_key(output, "agents.state")

    def branches(self) -> frozenset[Branch]:
        """The rollout."""
        return frozenset({"rollout"})

    def rollout(self) -> RolloutRequest | None:
        """One with `samples` futures."""
        return RolloutRequest(samples=self.samples)
