"""Config of the decoder `agents`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core import DecoderConfig, LatentSpec, Mismatch, ObservationSpec, OutputKey, OutputSpec

MOTION = ("x", "y", "heading", "vx", "vy")
"""The features that are decoded, in this order."""

TURN = ("ax", "ay", "yaw_rate")
"""The features that the priors with turning read at the anchor."""

LEADER = "leader_speed"
"""The feature that the gated prior follows, where the data has it."""


class AgentsConfig(DecoderConfig):
    """Sizes and options of the agent decoder."""

    width: int = Field(64, ge=8, description="Width of the hidden layers.")
    layers: int = Field(2, ge=1, description="Hidden layers.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after each hidden layer.")
    prior: Literal["constant-velocity", "constant-turn", "gated-turn"] = Field(
        "gated-turn",
        description="Kinematic prior that is corrected: the last velocity; also the last yaw rate; or, as far as learned gates let them "
        "through, the yaw rate, the longitudinal acceleration and (where the data has leaders) closing up to the leader's speed.",
    )
    existence: bool = Field(True, description="Also decode whether each agent exists.")

    def output(self, latent: LatentSpec, seen: ObservationSpec) -> OutputSpec:
        """`agents.state` with the motion features and, if asked for, `agents.exists`. Any layout of the latent will do."""
        if not seen.has("agents.state"):
            raise Mismatch(needs="key 'agents.state'", got=seen.describe(), remedy="choose a dataset of traffic, such as --dataset highway")
        for name in (*MOTION, *(TURN if self.prior != "constant-velocity" else ())):
            try:
                seen.get("agents.state").index(name)
            except Mismatch as mismatch:
                remedy = "set decoder.agents.prior to 'constant-velocity'" if name in TURN else None
                raise Mismatch(needs=mismatch.needs, got=mismatch.got, remedy=remedy) from mismatch
        keys = [OutputKey(key="agents.state", distribution="motion", features=MOTION)]
        if self.existence:
            keys.append(OutputKey(key="agents.exists", distribution="bernoulli"))
        return OutputSpec(keys=tuple(keys))
