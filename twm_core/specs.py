"""Specs: torch-free descriptions of what flows between components.

Axis letters, used everywhere in twm: `B` batch, `T` time, `A` agents, `F` features, `D` width, `G` groups x `C` classes of a
categorical latent, `S` samples (futures), `U` action width, `H W` raster.

A spec never holds data. Every config method maps specs to specs, so a whole recipe is checked before torch is imported, and a
component's `build` receives the resolved specs: no component guesses a width or addresses a feature by a fixed index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from twm_core.errors import Mismatch

Layout = Literal["scene", "agents", "both"]
Family = Literal["none", "gaussian", "categorical"]

AGENT_TYPES = ("unknown", "car", "truck", "bus", "motorcycle", "bicycle", "pedestrian", "other")
"""The values of the key `agents.type`, in order."""


class Spec(BaseModel):
    """Base of all specs: frozen, closed, comparable, and printable on one line."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Feature(Spec):
    """One named entry on the last axis of a tensor.

    `frame` tells what a change of coordinate frame does to it: `world` features (x, y, heading, vx, vy, ax, ay) rotate and shift
    with the frame, `own` features (length, lane_offset, yaw_rate) do not.
    """

    name: str
    unit: str = ""
    kind: Literal["continuous", "angle", "categorical", "flag"] = "continuous"
    size: int | None = Field(None, ge=2, description="Number of classes of a categorical feature.")
    frame: Literal["world", "own"] = "own"

    @property
    def width(self) -> int:
        """How many numbers this feature takes once a categorical value is one-hot."""
        return self.size if self.kind == "categorical" and self.size else 1


class KeySpec(Spec):
    """One tensor of a batch.

    Args:
        key: Its name in the batch, for example `agents.state`.
        axes: Axis letters, for example `B T A F`.
        dtype: `float32`, `int64`, `bool` or `uint8`.
        shape: Fixed sizes of the axes that are neither `B`, `T` nor `A`, in order, for example `(F,)` or `(3, 64, 64)`.
        features: The names on the last axis, where it has names.
        classes: Number of values of an integer key; value 0 means unknown.
        role: `input` may be read by encoders; `target` only by losses and metrics, because it may know the future.
    """

    key: str
    axes: str
    dtype: Literal["float32", "int64", "bool", "uint8"] = "float32"
    shape: tuple[int, ...] = ()
    features: tuple[Feature, ...] = ()
    classes: int | None = None
    role: Literal["input", "target"] = "input"

    def index(self, name: str) -> int:
        """Position of the feature called `name` on the last axis.

        Raises:
            Mismatch: There is no such feature.
        """
        for i, feature in enumerate(self.features):
            if feature.name == name:
                return i
        raise Mismatch(needs=f"feature {name!r} in key {self.key!r}", got=[f.name for f in self.features])


class ObservationSpec(Spec):
    """Everything a dataset puts into a batch, plus its sampling interval `dt` in seconds and its window in steps."""

    keys: tuple[KeySpec, ...]
    dt: float = Field(gt=0, description="Seconds between two steps.")
    context: int = Field(ge=1, description="Observed steps at the start of a window.")
    horizon: int = Field(ge=0, description="Steps to predict after the observed ones.")
    protocol: str = Field("", description="Name of the protocol that owns windows, splits and metrics.")

    @property
    def names(self) -> tuple[str, ...]:
        """The keys, in order."""
        return tuple(k.key for k in self.keys)

    def has(self, key: str) -> bool:
        """Whether the batch holds `key`."""
        return any(k.key == key for k in self.keys)

    def get(self, key: str) -> KeySpec:
        """The spec of `key`.

        Raises:
            Mismatch: The batch does not hold it.
        """
        for k in self.keys:
            if k.key == key:
                return k
        raise Mismatch(needs=f"key {key!r}", got=f"keys {', '.join(self.names)}")

    def describe(self) -> str:
        """One line: keys, dt and window."""
        return f"observations({', '.join(self.names)}; dt {self.dt:g} s, {self.context}+{self.horizon} steps)"


class ActionSpec(Spec):
    """What is done between two observations: one action for the scene (`B T U`) or one for each agent (`B T A U`)."""

    layout: Literal["scene", "agents"]
    features: tuple[Feature, ...]

    @property
    def width(self) -> int:
        """`U`: numbers in an action, categorical ones counted as one-hot."""
        return sum(f.width for f in self.features)


class EmbeddingSpec(Spec):
    """What encoders give: the width of a scene token `B T D` and of agent tokens `B T A D`; None where there is none."""

    scene: int | None = None
    agents: int | None = None

    def __str__(self) -> str:
        parts = [f"{n} {w}" for n, w in (("scene", self.scene), ("agents", self.agents)) if w is not None]
        return f"embedding({', '.join(parts) or 'nothing'})"


class LatentSpec(Spec):
    """What dynamics carry and decoders read.

    Args:
        layout: `scene` (one latent, features `B T D`), `agents` (one each, `B T A D`), `both`.
        width: Width `D` of the features, of the agents' where the layout is `both`.
        scene_width: Width of the scene features where the layout is `both`.
        family: Distribution of the stochastic part.
        deter: Width of the deterministic part, which stands first in the features.
        groups: `G` of a categorical latent, or the number of Gaussian variables.
        classes: `C` of a categorical latent.
        geometric: Whether agents hear of one another by where they are, so that dynamics are told motion (`Dynamics.geometric`).
    """

    layout: Layout
    width: int = Field(ge=1)
    scene_width: int | None = None
    family: Family = "none"
    deter: int | None = None
    groups: int = 0
    classes: int = 0
    geometric: bool = False

    @property
    def scene(self) -> int | None:
        """Width of the scene features, None where there are none."""
        return {"scene": self.width, "agents": None, "both": self.scene_width}[self.layout]

    @property
    def agents(self) -> int | None:
        """Width of the agent features, None where there are none."""
        return None if self.layout == "scene" else self.width

    def __str__(self) -> str:
        return f"latent(layout {self.layout}, width {self.width}, family {self.family})"


class OutputKey(Spec):
    """One decoded key.

    Args:
        key: Its name, for example `agents.state`.
        distribution: Which distribution it has.
        features: The names on the last axis of its values, where it has names.
        ahead: Whether it is the whole future at once, decoded from what is known at one step, instead of one step after another.
    """

    key: str
    distribution: str
    features: tuple[str, ...] = ()
    ahead: bool = False


class OutputSpec(Spec):
    """Everything the decoders of a recipe return."""

    keys: tuple[OutputKey, ...] = ()

    def has(self, key: str) -> bool:
        """Whether `key` is decoded."""
        return any(k.key == key for k in self.keys)

    def get(self, key: str) -> OutputKey:
        """The spec of a decoded key.

        Raises:
            Mismatch: No decoder returns it.
        """
        for k in self.keys:
            if k.key == key:
                return k
        raise Mismatch(needs=f"a decoder that returns {key!r}", got=str(self))

    def __str__(self) -> str:
        return f"output({', '.join(f'{k.key}: {k.distribution}' for k in self.keys) or 'nothing'})"


class ForecastSpec(Spec):
    """What a forecaster of agents gives.

    Args:
        states: Named features on the last axis of `Forecast.states`; `x` and `y` at least, in this order first.
        exists: Whether it says how probably an agent is there.
        several: Whether its futures differ (else it has one, however many are asked for).
        density: Whether it gives a log-density of positions.
    """

    states: tuple[str, ...] = ("x", "y")
    exists: bool = False
    several: bool = False
    density: bool = False


class Score(Spec):
    """One number that a metric gives.

    Args:
        name: Such as `ade`, `minade`, `miss_rate`, or with a time, `error@2s`.
        unit: SI unit, empty for shares.
        better: Which direction is better; `none` where the log's value, not an extreme, is the goal.
        at: Seconds after the last observed step, for scores at a time.
    """

    name: str
    unit: str = ""
    better: Literal["lower", "higher", "none"] = "lower"
    at: float | None = None


class EncoderSpecs(Spec):
    """What an encoder's `build` receives beside its config."""

    obs_spec: ObservationSpec
    embedding: EmbeddingSpec


class DynamicsSpecs(Spec):
    """What a dynamics' `build` receives beside its config."""

    embedding: EmbeddingSpec
    action: ActionSpec | None
    latent: LatentSpec


class DecoderSpecs(Spec):
    """What a decoder's `build` receives beside its config; `embedding` is for those that decode the future ahead from tokens."""

    latent: LatentSpec
    obs_spec: ObservationSpec
    output: OutputSpec
    embedding: EmbeddingSpec = Field(default_factory=EmbeddingSpec)


class LossSpecs(Spec):
    """What a loss' `build` receives beside its config."""

    output: OutputSpec
    latent: LatentSpec
    obs_spec: ObservationSpec


@dataclass(frozen=True)
class OptimizerSpecs:
    """What an optimizer's `build` receives beside its config.

    Attributes:
        parameters: The trainable parameters by name (`torch.nn.Parameter`; this module does without torch).
        lr: The highest learning rate; the training loop sets `group["lr"]` before every step.
    """

    parameters: Mapping[str, Any]
    lr: float


class DatasetSpecs(Spec):
    """What a dataset's `build` receives beside its config."""

    obs_spec: ObservationSpec
    action: ActionSpec | None


class MetricSpecs(Spec):
    """What a metric's `build` receives beside its config."""

    obs_spec: ObservationSpec
    forecast: ForecastSpec
    samples: int


class BaselineSpecs(Spec):
    """What a baseline's `build` receives beside its config."""

    obs_spec: ObservationSpec
