"""Configs of the readers of tables. Torch-free and numpy-free."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from twm_core.kinds.reader import ReaderConfig


class DroneCsvConfig(ReaderConfig):
    """Drone clips as CSV, one file per clip, oriented boxes in pixels."""

    metres_per_pixel: float = Field(0.0, ge=0, description="Metres per pixel at every site; 0 takes those in `sites`.")
    sites: Path | None = Field(
        None, description="TOML file with a table per site: `[A]`, `metres_per_pixel = 0.05`; `sites.toml` in the given folder if none."
    )
    fps: float = Field(30.0, gt=0, description="Frames per second of the clips.")
    angle: Literal["auto", "radians", "degrees"] = Field("auto", description="Unit of `angle`; auto compares it with the corners.")
    length_side: Literal["longer", "width", "height"] = Field(
        "longer", description="Which of `width` (the side along `angle`) and `height` is the length of the vehicle."
    )
    classes: dict[str, str] = Field(
        {"0": "bus", "1": "car", "2": "truck"}, description="Agent type of each `class_id`; ids that are not named are other."
    )
    confidence: float = Field(0.0, ge=0, le=1, description="Rows below this confidence are left out and counted.")
    longest_gap_seconds: float = Field(10.0, gt=0, description="A track that is away for longer begins anew under another name.")


class NgsimConfig(ReaderConfig):
    """NGSIM trajectories: the combined CSV of 25 columns, or the original text files of 18."""

    coordinates: Literal["local", "global"] = Field(
        "local", description="local: x along the road, y to the left of its left edge negative; global: state plane, x east, y north."
    )
    road: Path | None = Field(
        None, description="With global coordinates: files of centre lines and boundaries in state-plane feet, or their folder."
    )
    publisher_motion: bool = Field(
        False, description="Take v_Vel and v_Acc; they were smoothed with later positions, so predictions from them are not causal."
    )
    longest_gap_seconds: float = Field(2.0, gt=0, description="A vehicle number that is away for longer is another vehicle.")


class LevelXConfig(ReaderConfig):
    """highD, inD, rounD, exiD and uniD: trios of tracks, tracksMeta and recordingMeta."""

    dataset: Literal["auto", "highD", "inD", "rounD", "exiD", "uniD"] = Field(
        "auto", description="Whose files they are; auto asks the columns and folders. Only names, sites and licences depend on it."
    )
    publisher_motion: bool = Field(
        False, description="Take the velocities and accelerations in the files; they were smoothed with later positions."
    )
    longest_gap_seconds: float = Field(1.0, gt=0, description="A track that is away for longer begins anew under another name.")


class ColumnsConfig(ReaderConfig):
    """Any table whose columns a mapping file explains."""

    mapping: Path | None = Field(None, description="TOML file that says what the columns are; `columns.toml` beside the tables if none.")
