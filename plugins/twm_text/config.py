"""Configs of the text readers. Torch-free and numpy-free."""

from __future__ import annotations

from pydantic import Field

from twm_core.kinds.reader import ReaderConfig


class TrajNetConfig(ReaderConfig):
    """TrajNet (2018) text files and TrajNet++ ndjson files."""

    scenario_seconds: float = Field(
        0.0, ge=0, description="Cut longer recordings into scenarios of so many seconds; 0 never cuts, so that no window is lost."
    )
    dt: float = Field(0.4, gt=0, description="Seconds between two annotated frames, where the file does not give a rate (fps).")
    scenes: bool = Field(
        False,
        description="TrajNet++: make every scene of a file a scenario that scores its primary pedestrian only. Scenes overlap: the same"
        " rows are then stored many times. Otherwise a file is one recording.",
    )


class SddConfig(ReaderConfig):
    """Stanford Drone Dataset."""

    every: int = Field(1, ge=1, description="Keep the frames whose number is a multiple of this; 12 gives the usual 2.5 Hz.")
    fps: float = Field(30.0, gt=0, description="Frames per second of the videos.")
    metres_per_pixel: float = Field(
        0.0, ge=0, description="Metres per pixel; 0 looks the video up in estimated_scales.yaml, beside the annotations or above."
    )
    trust_interpolation: bool = Field(
        False,
        description="Let predictions start at boxes that the annotation tool interpolated between key frames, as published tables on SDD"
        " do. They know the future up to the next key frame, seconds later.",
    )


class ApolloScapeConfig(ReaderConfig):
    """ApolloScape trajectory prediction."""

    dt: float = Field(0.5, gt=0, description="Seconds between two frames.")
