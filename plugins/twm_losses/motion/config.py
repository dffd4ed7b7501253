"""Configs of the losses on motion: angles, directions, kinematics, boundaries and modes. Torch-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from twm_core import LatentSpec, LossConfig, Mismatch, ObservationSpec, OutputSpec
from twm_core.data.schema import RASTER_CHANNELS
from twm_core.kinds.loss import Branch, RolloutRequest
from twm_losses.config_one_step import OneStepConfig
from twm_losses.needs import lacks_features, lacks_horizon

POSITION = ("x", "y")
VELOCITY = ("vx", "vy")
HEADING = "heading"
RASTER, POSE = "map.raster", "map.pose"


class _OneStep(OneStepConfig):
    """Base of the losses on directions, which unless told otherwise read predictions only."""

    reconstruction: float = Field(0.0, ge=0, description="Factor on the reconstruction of the present step; 0 leaves it out.")

    @model_validator(mode="after")
    def _reads_something(self) -> _OneStep:
        if not self.branches():
            raise ValueError("reconstruction and prediction are both 0; leave the loss out instead")
        return self


class AngleConfig(_OneStep):
    """Angular distance of the decoded heading."""

    form: Literal["cosine", "squared"] = Field("cosine", description="1 - cos of the difference, or its square the short way round.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoder of headings."""
        return lacks_features(output, obs_spec, HEADING)


class VelocityDirectionConfig(_OneStep):
    """Direction of the decoded velocity, for agents that move."""

    threshold: float = Field(0.5, gt=0, description="Metres per second; agents that truly are slower do not count.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoder of velocities."""
        return lacks_features(output, obs_spec, *VELOCITY)


class _Ahead(LossConfig):
    """Base of the losses on what is predicted: one step ahead, and in rollouts."""

    prediction: float = Field(1.0, ge=0, description="Factor on the prediction one step ahead; 0 leaves it out.")
    futures: float = Field(0.0, ge=0, description="Factor on sampled futures; 0 leaves them out (and no rollout is made for this loss).")
    samples: int = Field(1, ge=1, description="Futures sampled in training.")
    steps: int | None = Field(None, ge=1, description="Steps of the futures that are read; None: to the end of the window.")

    @model_validator(mode="after")
    def _reads_something(self) -> _Ahead:
        if not self.branches():
            raise ValueError("prediction and futures are both 0; leave the loss out instead")
        return self

    def branches(self) -> frozenset[Branch]:
        """Those with a factor above 0."""
        return frozenset(b for b, f in (("prediction", self.prediction), ("rollout", self.futures)) if f > 0)

    def rollout(self) -> RolloutRequest | None:
        """One, where futures have a factor."""
        return RolloutRequest(samples=self.samples, steps=self.steps) if self.futures > 0 else None


class KinematicConfig(_Ahead):
    """Consistency of decoded positions with decoded velocities, and limits of acceleration and yaw rate."""

    rule: Literal["trapezoid", "backward"] = Field(
        "trapezoid",
        description="Displacement that is consistent: dt times the mean of both velocities, or dt times the later one (right for data "
        "whose velocities are backward differences of positions).",
    )
    beta: float = Field(1.0, gt=0, description="Metres at which the loss on the gap turns from square to linear.")
    acceleration: float = Field(0.0, ge=0, description="Factor on acceleration beyond max_acceleration; 0 leaves it out.")
    max_acceleration: float = Field(8.0, gt=0, description="Metres per second squared, in any direction, that cost nothing.")
    yaw_rate: float = Field(0.0, ge=0, description="Factor on yaw rate beyond max_yaw_rate; 0 leaves it out.")
    max_yaw_rate: float = Field(1.0, gt=0, description="Radians per second that cost nothing.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoder of positions and velocities, of headings for the yaw rate, and predicted steps for futures."""
        wanted = (*POSITION, *VELOCITY, *((HEADING,) if self.yaw_rate > 0 else ()))
        refused = lacks_features(output, obs_spec, *wanted)
        if refused is None and self.futures > 0:
            refused = lacks_horizon(obs_spec, "set loss.kinematic.futures to 0")
        return refused


class BoundaryConfig(_Ahead):
    """Soft penalty on positions outside a box, or off the drivable part of a map."""

    mode: Literal["auto", "range", "map"] = Field("auto", description="Boundary: a box, the map, or the map where the data has one.")
    box: tuple[float, float, float, float] | None = Field(
        None, description="x_min, x_max, y_min, y_max in metres; None: the range of the positions in the training data."
    )
    margin: float = Field(0.0, ge=0, description="Metres beyond the boundary that cost nothing.")
    beta: float = Field(1.0, gt=0, description="Metres outside at which the loss turns from square to linear.")

    @model_validator(mode="after")
    def _box_has_an_inside(self) -> BoundaryConfig:
        if self.box is not None and not (self.box[0] < self.box[1] and self.box[2] < self.box[3]):
            raise ValueError(f"box {self.box} has no inside; give x_min, x_max, y_min, y_max")
        return self

    def on_map(self, obs_spec: ObservationSpec) -> bool:
        """Whether the boundary is the map's."""
        return self.mode == "map" or (self.mode == "auto" and obs_spec.has(RASTER) and obs_spec.has(POSE))

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoder of positions, a map where it is asked for, and predicted steps for futures."""
        refused = lacks_features(output, obs_spec, *POSITION)
        if refused is not None:
            return refused
        if self.on_map(obs_spec):
            for key in (RASTER, POSE):
                if not obs_spec.has(key):
                    remedy = "set loss.boundary.mode to 'range', or dataset.raster to true"
                    return Mismatch(needs=f"key {key!r}", got=obs_spec.describe(), remedy=remedy)
            channels = obs_spec.get(RASTER).shape[0]
            if channels != len(RASTER_CHANNELS):
                needs = f"the channels {', '.join(RASTER_CHANNELS)} in {RASTER!r}"
                return Mismatch(needs=needs, got=f"{channels} channels", remedy="set loss.boundary.mode to 'range'")
        return lacks_horizon(obs_spec, "set loss.boundary.futures to 0") if self.futures > 0 else None


class WTAConfig(LossConfig):
    """Winner takes all over the modes of decoded futures."""

    samples: int = Field(1, ge=1, description="Futures sampled in training; each has its own winners.")
    steps: int | None = Field(None, ge=1, description="Steps of the futures that are read; None: to the end of the window.")
    grow: int = Field(0, ge=0, description="Optimizer steps over which the futures grow from 1 step to all; 0 is at once.")
    beta: float = Field(1.0, gt=0, description="Metres at which the loss turns from square to linear.")
    epsilon: float = Field(0.0, ge=0, lt=1, description="Share of the loss that the modes which did not win have among them.")
    regression: float = Field(1.0, ge=0, description="Factor on the distance of the modes.")
    classification: float = Field(1.0, ge=0, description="Factor on the cross-entropy of the modes' weights.")

    def accepts(self, output: OutputSpec, latent: LatentSpec, obs_spec: ObservationSpec) -> Mismatch | None:
        """Needs a decoder of several modes, and predicted steps."""
        refused = lacks_features(output, obs_spec, *POSITION)
        if refused is not None:
            return refused
        given = output.get("agents.state").distribution
        if given != "motion-mixture":
            remedy = "set decoder.agents.distribution to 'mixture'"
            return Mismatch(needs="a decoder of 'agents.state' with several modes ('motion-mixture')", got=repr(given), remedy=remedy)
        return lacks_horizon(obs_spec, "leave the loss wta out, or choose a dataset whose windows have predicted steps")

    def branches(self) -> frozenset[Branch]:
        """The rollout."""
        return frozenset({"rollout"})

    def rollout(self) -> RolloutRequest | None:
        """One with `samples` futures."""
        return RolloutRequest(samples=self.samples, steps=self.steps, grow=self.grow)
