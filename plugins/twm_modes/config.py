"""Configs of the decoder `modes` and of the loss `modes`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core import DecoderConfig, EmbeddingSpec, LatentSpec, LossConfig, Mismatch, ObservationSpec, OutputKey, OutputSpec
from twm_core.kinds.loss import Branch

KEY = "agents.futures"
"""The key that is decoded."""

DISTRIBUTION = "future-modes"
"""Its distribution."""

MOTION = ("x", "y", "heading", "vx", "vy")
"""Features of a decoded state, in order."""


SIZE = ("length", "width")
"""Features that say how large an agent is."""


class ModesDecoderConfig(DecoderConfig):
    """Sizes and options of the forecasting head."""

    modes: int = Field(20, ge=1, description="Futures of each agent (K).")
    width: int = Field(128, ge=8, description="Width of the hidden layers and of the queries.")
    layers: int = Field(2, ge=1, description="Hidden layers after the query was added.")
    reads: Literal["tokens", "both"] = Field(
        "tokens",
        description="What is read of the last observed step: the encoders' tokens of an agent, or also the features of its latent.",
    )
    still_speed: float = Field(
        0.5,
        ge=0,
        description="Metres per second below which a decoded state keeps the last known heading instead of its direction of motion.",
    )

    joint: bool = Field(
        False,
        description="Put futures of agents together outside training: slow with slow and fast with fast, and who would run into another"
        " one slows down on its path; needs lengths and widths.",
    )

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        """The key `agents.futures`, ahead.

        Raises:
            Mismatch: There are no agents, nothing is predicted, or features of each agent's latent are to be read and there are none.
        """
        if not obs_spec.has("agents.state"):
            raise Mismatch(
                needs="key 'agents.state'", got=obs_spec.describe(), remedy="choose a dataset of traffic, such as --dataset highway"
            )
        for name in MOTION:
            obs_spec.get("agents.state").index(name)
        if not obs_spec.horizon:
            raise Mismatch(needs="windows with predicted steps", got=obs_spec.describe(), remedy="set dataset.predicted_seconds above 0")
        if self.joint:
            for name in SIZE:
                obs_spec.get("agents.state").index(name)
        if self.reads == "both" and latent.agents is None:
            remedy = "set decoder.modes.reads to 'tokens', or the dynamics' layout to 'agents'"
            raise Mismatch(needs="features of each agent", got=latent, remedy=remedy)
        return OutputSpec(keys=(OutputKey(key=KEY, distribution=DISTRIBUTION, features=MOTION, ahead=True),))

    def takes(self, embedding: EmbeddingSpec) -> None:
        """Needs tokens of agents.

        Raises:
            Mismatch: There are none.
        """
        if embedding.agents is None:
            remedy = "set encoder.multiagent.agent_tokens to true, or choose --encoder multiagent"
            raise Mismatch(needs="a token for each agent", got=embedding, remedy=remedy)


class ModesLossConfig(LossConfig):
    """Evolving winner takes all over whole futures."""

    final: float = Field(0.25, ge=0, description="Factor on the distance at the last step, beside the average distance.")
    centre: float = Field(0.5, ge=0, description="Factor on the distance of the centre, the one future that is to be near on average.")
    classification: float = Field(0.1, ge=0, description="Factor on the cross-entropy of the futures' weights.")
    spread: float = Field(
        0.05,
        ge=0,
        description="Factor on the negative log-likelihood of the best future's deviation; it leaves the futures themselves alone.",
    )
    anneal: int = Field(
        0, ge=0, description="Optimizer steps over which the number of best futures that learn falls from all to 1; 0 is at once."
    )
    observed: int = Field(2, ge=1, description="Observed steps that an agent needs in order to count.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs the decoder `modes`, or another that gives the same key."""
        if output.has(KEY) and output.get(KEY).distribution == DISTRIBUTION:
            return None
        return Mismatch(needs=f"a decoder of {KEY!r} ({DISTRIBUTION!r})", got=str(output), remedy="add --decoder modes")

    def branches(self) -> frozenset[Branch]:
        """What is decoded ahead."""
        return frozenset({"ahead"})
