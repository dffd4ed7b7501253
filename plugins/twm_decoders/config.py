"""Config of the decoder `agents`. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core import DecoderConfig, KeySpec, LatentSpec, Mismatch, ObservationSpec, OutputKey, OutputSpec

MOTION = ("x", "y", "heading", "vx", "vy")
"""The features that are always decoded, in this order; others come after them."""

ACCELERATION = ("ax", "ay")
"""The features that the prior with constant acceleration reads at the anchor."""

TURN = ("ax", "ay", "yaw_rate")
"""The features that the priors with turning read at the anchor."""

LEADER = "leader_speed"
"""The feature that the gated prior follows, where the data has it."""

Prior = Literal["constant-velocity", "constant-acceleration", "constant-turn", "gated-turn"]

READ: dict[Prior, tuple[str, ...]] = {
    "constant-velocity": (),
    "constant-acceleration": ACCELERATION,
    "constant-turn": TURN,
    "gated-turn": TURN,
}
"""What each prior reads at the anchor, beside the motion."""

DISTRIBUTIONS = {"deterministic": "motion", "gaussian": "motion-gaussian", "mixture": "motion-mixture"}
"""Name that the output spec gives to each distribution of `agents.state`."""


class AgentsConfig(DecoderConfig):
    """Sizes and options of the agent decoder."""

    width: int = Field(64, ge=8, description="Width of the hidden layers.")
    layers: int = Field(2, ge=1, description="Hidden layers.")
    activation: Literal["silu", "relu"] = Field("silu", description="Activation after each hidden layer.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after each hidden layer.")
    parametrisation: Literal["kinematic", "displacement", "absolute"] = Field(
        "kinematic",
        description="What is emitted: a residual to a kinematic prior; the change of position, heading and velocity in the agent's frame, "
        "without a prior (zeros stand still); or the state itself, normalized by the training data, which does not turn with the world.",
    )
    prior: Prior = Field(
        "gated-turn",
        description="Kinematic prior that is corrected, for parametrisation kinematic only: the last velocity; also the last acceleration; "
        "also the last yaw rate; or, as far as learned gates let them through, the yaw rate, the longitudinal acceleration and (where "
        "the data has leaders) closing up to the leader's speed.",
    )
    heading: Literal["residual", "angle-head"] = Field(
        "residual", description="Heading as an angle beside the other numbers, or as sine and cosine from a small head of its own."
    )
    queries: Literal["motion", "slots"] = Field(
        "motion",
        description="How agents are told apart in a latent of the scene: each asks with its own known motion, or the heads emit the states "
        "of all slots of the batch at once. With slots the order of the agents matters: permuting them does not permute what is decoded.",
    )
    features: Literal["motion", "continuous"] = Field(
        "motion",
        description="What is decoded of a state: its motion (x, y, heading, vx, vy), or everything that is continuous or an angle, for "
        "parametrisation absolute without modes. Categorical features and flags are never decoded.",
    )
    slots: int = Field(64, ge=1, description="Most agents of a scene that queries slots can decode.")
    distribution: Literal["deterministic", "gaussian", "mixture"] = Field(
        "deterministic", description="State with a fixed spread, with a decoded Gaussian spread, or one of several Gaussian courses."
    )
    modes: int = Field(6, ge=2, description="Courses of distribution mixture.")
    existence: bool = Field(True, description="Also decode whether each agent exists.")

    @property
    def read(self) -> tuple[str, ...]:
        """Features that are read at the anchor beside the motion."""
        return READ[self.prior] if self.parametrisation == "kinematic" else ()

    def decoded(self, state: KeySpec) -> tuple[str, ...]:
        """Names of the decoded features: the motion, then the others in the order of `agents.state`."""
        others = [f.name for f in state.features if f.kind in ("continuous", "angle") and f.name not in MOTION]
        return (*MOTION, *(others if self.features == "continuous" else ()))

    def output(self, latent: LatentSpec, obs_spec: ObservationSpec) -> OutputSpec:
        """`agents.state` with the decoded features and, if asked for, `agents.exists`.

        Any layout of the latent will do for queries `motion`; slots are decoded from features of the scene.

        Raises:
            Mismatch: There are no agents, they lack a feature that is read, slots have no features of the scene to be decoded from, or more
                features than the motion are asked of a parametrisation or a distribution that has the motion only.
        """
        if not obs_spec.has("agents.state"):
            raise Mismatch(
                needs="key 'agents.state'", got=obs_spec.describe(), remedy="choose a dataset of traffic, such as --dataset highway"
            )
        for name in (*MOTION, *self.read):
            try:
                obs_spec.get("agents.state").index(name)
            except Mismatch as mismatch:
                remedy = "set decoder.agents.prior to 'constant-velocity'" if name in TURN else None
                raise Mismatch(needs=mismatch.needs, got=mismatch.got, remedy=remedy) from mismatch
        if self.queries == "slots" and latent.scene is None:
            raise Mismatch(needs="features of the scene to decode into slots", got=latent, remedy="set decoder.agents.queries to 'motion'")
        self._check_features()
        features = self.decoded(obs_spec.get("agents.state"))
        keys = [OutputKey(key="agents.state", distribution=DISTRIBUTIONS[self.distribution], features=features)]
        if self.existence:
            keys.append(OutputKey(key="agents.exists", distribution="bernoulli"))
        return OutputSpec(keys=tuple(keys))

    def _check_features(self) -> None:
        """Refuse other features beside a motion that is integrated, or that has modes: they have neither."""
        if self.features == "motion":
            return
        integrated, modes = self.parametrisation != "absolute", self.distribution == "mixture"
        remedy = "set decoder.agents.features to 'motion'"
        if integrated != modes:
            option, value = ("distribution", "gaussian") if modes else ("parametrisation", "absolute")
            remedy += f", or set decoder.agents.{option} to {value!r}"
        if integrated:
            got = f"parametrisation {self.parametrisation!r}, which integrates a motion"
            raise Mismatch(needs="absolute states to decode every continuous feature", got=got, remedy=remedy)
        if modes:
            got = "distribution 'mixture', whose modes are motions"
            raise Mismatch(needs="one course to decode every continuous feature beside it", got=got, remedy=remedy)
