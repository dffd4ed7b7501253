"""Configs of the readers of driving datasets. Torch-free and numpy-free."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from twm_core.kinds.reader import ReaderConfig


class Argoverse2Config(ReaderConfig):
    """Argoverse 2 motion forecasting scenarios."""

    static: bool = Field(True, description="Keep cones, bollards, signs and other things that never move, as agents of type other.")


class Argoverse2SensorConfig(ReaderConfig):
    """Annotated logs of the Argoverse 2 sensor dataset."""

    static: bool = Field(True, description="Keep cones, bollards, signs and other things that never move, as agents of type other.")
    min_points: int = Field(0, ge=0, description="Leave out boxes with fewer lidar points inside; 0 keeps also those that no lidar hit.")


class ScenarioNetConfig(ReaderConfig):
    """Scenario pickles of ScenarioNet and MetaDrive."""

    static: bool = Field(True, description="Keep cones, barriers and other things that never move, as agents of type other.")
    lane_width: float = Field(3.5, gt=0, description="Metres of width of lanes for which the file gives none.")


class WaymoConfig(ReaderConfig):
    """Scenario records of the Waymo Open Motion Dataset."""

    lane_width: float = Field(3.5, gt=0, description="Metres of width of lanes: the dataset gives centre lines without widths.")


class WaymoJsonConfig(ReaderConfig):
    """Waymo scenarios as JSON, as Nocturne and GPUDrive write them."""

    lane_width: float = Field(3.5, gt=0, description="Metres of width of lanes: the format gives centre lines without widths.")
    heading: Literal["auto", "degrees", "radians"] = Field(
        "auto", description="Unit of headings: Nocturne writes degrees, later GPUDrive radians; auto compares them with the motion."
    )
