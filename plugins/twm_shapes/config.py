"""The config of the dataset `shapes`: what is seen, what is done, how many episodes, how windows are cut. Imports neither torch nor numpy.

Keys of a batch, all of them inputs, because each is known at its own step:

image.camera   uint8   [B,T,3,H,W]   the box from above, row 0 at y = 1           (with `images`)
vector.state   float32 [B,T,4K]      x, y, vx, vy of each shape, box widths       (with `vectors`)
vector.phase   int64   [B,T]         where the wind blows to, 1 to 4              (with `vectors`)
reward         float32 [B,T]         +1 for a catch, -1 for each hazard that is run into
is_first       bool    [B,T]         an episode (or the window) begins
is_last        bool    [B,T]         an episode ends: by a catch, or because its time is up
is_terminal    bool    [B,T]         it ends by a catch
action         float32 [B,T,2|5]     (with `actions`) taken after observation `t`, leads to `t + 1`
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core.errors import UsageError
from twm_core.kinds.dataset import DatasetConfig
from twm_core.specs import ActionSpec, Feature, KeySpec, ObservationSpec

PHASES = 4
"""Directions of the wind."""

MOVES = ("stay", "right", "up", "left", "down")
"""The discrete actions, in order."""


class ShapesConfig(DatasetConfig):
    """Bouncing shapes in a box, one of them steered, with rewards and ends."""

    images: bool = Field(True, description="Give pictures, image.camera.")
    vectors: bool = Field(True, description="Give positions and velocities, vector.state, and the wind's direction, vector.phase.")
    actions: Literal["none", "continuous", "discrete"] = Field(
        "continuous", description="How one shape is steered: not at all, by a thrust of two numbers, or by one of five moves."
    )
    image_size: int = Field(64, ge=16, le=512, description="Height and width of the pictures in pixels.")
    shapes: int = Field(3, ge=2, le=6, description="Number of shapes K: the steered one, the target, and hazards.")
    dt: float = Field(0.1, gt=0, le=0.2, description="Seconds between two steps.")
    noise: float = Field(0.0, ge=0, le=1, description="Random change of each velocity, box widths per second in the root of a second.")
    context: int = Field(8, ge=1, description="Observed steps of a window.")
    horizon: int = Field(24, ge=0, description="Predicted steps of a window.")
    episodes: int = Field(300, ge=1, description="Training episodes.")
    evaluation_episodes: int = Field(100, ge=1, description="Episodes of each of the splits val and test.")
    episode_steps: int = Field(100, ge=2, description="Steps after which an episode is cut, if there was no catch before.")
    spanning: bool = Field(True, description="Let training windows go on with the next episode where one ends; val and test never do.")
    stride: int = Field(8, ge=1, description="Steps between the starts of two training windows.")
    evaluation_stride: int = Field(16, ge=1, description="Steps between the starts of two windows of val and test.")
    seed: int = Field(0, ge=0, description="Seed of all episodes; every split and episode has a stream of its own.")

    @property
    def names(self) -> tuple[str, ...]:
        """What the shapes are called, in order: `steered`, `target`, `hazard1`, …"""
        return ("steered", "target", *(f"hazard{k}" for k in range(1, self.shapes - 1)))

    def observations(self) -> tuple[ObservationSpec, ActionSpec | None]:
        """What a batch holds.

        Raises:
            UsageError: There is nothing to see, or an episode is shorter than a window.
        """
        if not (self.images or self.vectors):
            raise UsageError("dataset shapes: neither images nor vectors are given", "set images or vectors to true")
        if self.context + self.horizon > self.episode_steps:
            raise UsageError(
                f"dataset shapes: an episode of {self.episode_steps} steps is shorter than a window of {self.context} + {self.horizon}",
                "raise episode_steps or shorten the window",
            )
        keys = []
        if self.images:
            keys.append(KeySpec(key="image.camera", axes="B T C H W", dtype="uint8", shape=(3, self.image_size, self.image_size)))
        if self.vectors:
            state = tuple(
                Feature(name=f"{name}_{what}", unit=unit)
                for name in self.names
                for what, unit in (("x", "box"), ("y", "box"), ("vx", "box/s"), ("vy", "box/s"))
            )
            keys.append(KeySpec(key="vector.state", axes="B T D", shape=(len(state),), features=state))
            keys.append(KeySpec(key="vector.phase", axes="B T", dtype="int64", classes=PHASES + 1))
        keys.append(KeySpec(key="reward", axes="B T"))
        keys.extend(KeySpec(key=k, axes="B T", dtype="bool") for k in ("is_first", "is_last", "is_terminal"))
        obs_spec = ObservationSpec(
            keys=tuple(keys),
            dt=self.dt,
            context=self.context,
            horizon=self.horizon,
            protocol=f"shapes@{self.context}+{self.horizon}" + (f"+{self.actions}" if self.actions != "none" else ""),
        )
        return obs_spec, self._action()

    def _action(self) -> ActionSpec | None:
        if self.actions == "none":
            return None
        if self.actions == "discrete":
            return ActionSpec(layout="scene", features=(Feature(name="move", kind="categorical", size=len(MOVES)),))
        return ActionSpec(layout="scene", features=(Feature(name="thrust_x"), Feature(name="thrust_y")))
